"""`make install` from a copy of the source tree, with the wheels of the interpreter that runs the tests."""

import contextlib
import importlib.metadata
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
INSTALL_DEADLINE = 300.0  # seconds
_NOT_SOURCE = (".git", ".venv", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "*.egg-info", "build", "dist")


class Installation:
    """Installs below `root`, without a user of its own for the service. Made of a copy, as a clone would be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "source"
        self.prefix = root / "prefix"
        self.bin = root / "bin"
        self.etc = root / "etc"
        self.command = self.bin / "syncd"
        self.python = next(filter(_public, _interpreters()), _interpreters()[0])
        self.public = _public(self.python)
        shutil.copytree(REPOSITORY, self.source, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_SOURCE))
        _download_wheels(root / "wheels")
        self.first_words = self.make("install")

    def make(self, target: str) -> list[str]:
        """The lines that `make TARGET` prints, which must succeed."""
        places = {"PREFIX": self.prefix, "BINDIR": self.bin, "CONFDIR": self.etc, "PYTHON": self.python}
        command = ["make", "--silent", target, "SYNCD_INSTALL_USER=none", *(f"{k}={v}" for k, v in places.items())]
        environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "wheels")}
        done = subprocess.run(
            command,
            cwd=self.source,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_DEADLINE,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout.splitlines()

    @contextlib.contextmanager
    def put_back_afterwards(self) -> Iterator[None]:
        """What is removed meanwhile is there again afterwards, for other tests."""
        aside = self.root / "aside"
        shutil.copytree(self.prefix, aside, symlinks=True, copy_function=os.link)
        try:
            yield
        finally:
            shutil.rmtree(self.prefix, ignore_errors=True)
            aside.rename(self.prefix)
            self.command.unlink(missing_ok=True)
            self.command.symlink_to(self.prefix / "bin/syncd")


def _interpreters() -> list[Path]:
    """The Python that runs this, then others for which the same wheels are made."""
    name = "python{}.{}".format(*sys.version_info[:2])
    places = [Path(directory, name) for directory in ("/usr/local/bin", "/usr/bin")]
    return [Path(os.path.realpath(sys.executable)), *(place for place in places if place.exists())]


def _public(program: Path) -> bool:
    """Whether every user can run it."""
    real = program.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (real, *real.parents))


def _download_wheels(directory: Path) -> None:
    """The versions that are installed here, so that an installation takes no time to choose any."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    versions = _installed_versions(project["project"]["dependencies"])
    wanted = [*(f"{name}=={version}" for name, version in versions.items()), *project["build-system"]["requires"]]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_DEADLINE)
    assert done.returncode == 0, done.stderr


def _installed_versions(requirements: list[str]) -> dict[str, str]:
    """{name: version} of all that these requirements need here."""
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        if name in found or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = importlib.metadata.version(name)
        waiting += [Requirement(text) for text in importlib.metadata.requires(name) or ()]
    return found
