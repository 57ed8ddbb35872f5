"""What an installation gets: the wheel has both packages with all that they need, and nothing else."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("protocol", "syncd")
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
DATA = ("protocol/SPEC.md", "protocol/py.typed", "syncd/py.typed", "syncd/store/schema.sql")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built without network and without leaving anything beside the sources."""
    place = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, place)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"]
    outcome = subprocess.run(
        [*build, "--disable-pip-version-check", "-w", "out"], cwd=place, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout[-2_000:] + outcome.stderr[-2_000:]
    (built,) = (place / "out").iterdir()
    return zipfile.Path(built)


@pytest.fixture(scope="module")
def files(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


def test_top_level_names(wheel: zipfile.Path, files: set[str]) -> None:
    """Anything else would land in everybody's site-packages."""
    info = info_directory(files)
    assert {name.split("/")[0] for name in files} == {*PACKAGES, info}
    assert wheel.joinpath(info, "top_level.txt").read_text().split() == list(PACKAGES)


def info_directory(files: set[str]) -> str:
    (info,) = {name.split("/")[0] for name in files} - set(PACKAGES)
    assert info.startswith("syncd-")
    assert info.endswith(".dist-info")
    return info


def test_every_module_is_in_it(files: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert {name for name in files if name.endswith(".py")} == modules
    assert not [name for name in files if name.endswith(".pyc") or "cache" in name.split("/")[-2:-1]]


def test_data_is_in_it(files: set[str]) -> None:
    vectors = {path.relative_to(ROOT).as_posix() for path in (ROOT / "protocol" / "vectors").glob("*.json")}
    assert vectors
    assert files >= {*DATA, *vectors}


def test_data_that_the_code_reads_is_in_it(files: set[str]) -> None:
    """Whatever lies beside a module and is no module was put there to be read."""
    paths = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.*") if path.is_file()]
    hidden = [path for path in paths if any(part.startswith((".", "__pycache__")) for part in path.parts)]
    beside = {path.as_posix() for path in paths if path.suffix != ".py" and path not in hidden}
    assert beside >= set(DATA)
    assert files >= beside


def test_entry_point(wheel: zipfile.Path, files: set[str]) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(wheel.joinpath(info_directory(files), "entry_points.txt").read_text())
    assert {name: dict(parser[name]) for name in parser.sections()} == {
        "console_scripts": {"syncd": "syncd.cli.main:main"}
    }
    assert "syncd/cli/main.py" in files
    assert "\ndef main(" in wheel.joinpath("syncd", "cli", "main.py").read_text()
