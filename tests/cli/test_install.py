"""install.sh and uninstall.sh from an unpacked archive: no network, no root, nothing outside the given places."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


class Archive:
    """What dist.sh packs, with a stand-in for the real wheels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unpacked = root / "syncd"
        (self.unpacked / "wheels").mkdir(parents=True)
        for name in ("install.sh", "uninstall.sh", "python.sh", "syncd.service", "syncd@.service", "syncd.1"):
            shutil.copy(DEPLOY / name, self.unpacked / name)
        (self.unpacked / "python-version").write_text("{}.{}\n".format(*sys.version_info[:2]))

    def wheel(self, version: str, program: str) -> None:
        """Put the one wheel of a version into the archive."""
        for old in (self.unpacked / "wheels").iterdir():
            old.unlink()
        info = f"syncd-{version}.dist-info"
        with zipfile.ZipFile(self.unpacked / f"wheels/syncd-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("syncd_stand_in.py", f"def main():\n    {program}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: syncd\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nsyncd = syncd_stand_in:main\n")
            wheel.writestr(f"{info}/RECORD", "")

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "PYTHON": sys.executable,
            "PREFIX": str(self.root / "prefix"),
            "SYNCD_INSTALL_USER": "none",
            "PIP_NO_INDEX": "1",
            **environment,
        }
        command = ["sh", str(self.unpacked / script)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)


def printed(command: Path) -> str:
    return subprocess.run([str(command), "version"], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_install_upgrade_and_uninstall(archive: Archive) -> None:
    prefix = archive.root / "prefix"
    places = {
        "BINDIR": str(archive.root / "bin"),
        "MANDIR": str(archive.root / "man"),
        "UNITDIR": str(archive.root / "units"),
        "CONFDIR": str(archive.root / "etc"),
    }
    archive.wheel("1.0", "print('syncd 1.0')")
    done = archive.run("install.sh", **places)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"installed syncd 1.0 in {prefix}, the command is {archive.root}/bin/syncd",
        f"next: syncd init --config {archive.root}/etc/sync.json --dir DIR && systemctl enable --now syncd",
    ]
    assert printed(archive.root / "bin/syncd") == printed(prefix / "bin/syncd") == "syncd 1.0\n"
    template = (archive.root / "units/syncd@.service").read_text()
    assert f"ExecStart={prefix}/bin/syncd --config {archive.root}/etc/%i.json\n" in template
    unit = (archive.root / "units/syncd.service").read_text()
    assert f"ExecStart={prefix}/bin/syncd --config {archive.root}/etc/sync.json\n" in unit
    assert (archive.root / "man/man1/syncd.1").read_bytes() == (DEPLOY / "syncd.1").read_bytes()
    first = (prefix / "current").resolve()

    (archive.root / "etc/sync.json").write_text("mine")
    archive.wheel("2.0", "raise SystemExit('broken')")
    assert archive.run("install.sh", **places).returncode != 0
    assert printed(archive.root / "bin/syncd") == "syncd 1.0\n", "a version that does not run changes nothing"
    assert list((prefix / "versions").iterdir()) == [first]

    archive.wheel("2.1", "print('syncd 2.1')")
    done = archive.run("install.sh", **places)
    assert done.stdout == f"installed syncd 2.1 in {prefix}, the command is {archive.root}/bin/syncd\n"
    assert printed(archive.root / "bin/syncd") == "syncd 2.1\n"
    assert first in (prefix / "versions").iterdir(), "the version before is kept"
    assert (archive.root / "etc/sync.json").read_text() == "mine"

    for _ in range(2):
        done = archive.run("uninstall.sh", **places)
        assert done.returncode == 0, done.stderr
    assert not prefix.exists()
    assert list((archive.root / "bin").iterdir()) == list((archive.root / "units").iterdir()) == []
    assert list((archive.root / "man/man1").iterdir()) == []
    assert (archive.root / "etc/sync.json").read_text() == "mine"


def test_uninstall_leaves_what_is_not_its_own(archive: Archive) -> None:
    (archive.root / "bin").mkdir()
    (archive.root / "bin/syncd").write_text("another program")
    (archive.root / "prefix").mkdir()
    (archive.root / "prefix/notes").write_text("mine")
    assert archive.run("uninstall.sh", BINDIR=str(archive.root / "bin")).returncode == 0
    assert (archive.root / "bin/syncd").read_text() == "another program"
    assert (archive.root / "prefix/notes").read_text() == "mine"


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
@pytest.mark.parametrize("prefix", ["/", "relative"])
def test_prefixes_that_would_hurt(archive: Archive, script: str, prefix: str) -> None:
    done = archive.run(script, PREFIX=prefix)
    assert done.returncode == 1
    assert done.stderr == f"syncd: PREFIX must be an absolute path, not '{prefix}'\n"


@pytest.mark.parametrize(
    ("version", "words"), [("3.9", "found here: 3.9"), ("3.10", "found here: 3.10"), ("2.7", "2.7")]
)
def test_an_old_python_is_one_line(archive: Archive, version: str, words: str) -> None:
    python = archive.root / "old-python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    shutil.rmtree(archive.unpacked / "wheels")
    done = archive.run("install.sh", PYTHON=str(python))
    assert done.returncode == 1
    assert done.stderr.startswith("syncd: Python 3.11 or newer is needed, ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (archive.root / "prefix").exists()


def test_wheels_of_another_python_are_one_line(archive: Archive) -> None:
    (archive.unpacked / "python-version").write_text("3.99\n")
    done = archive.run("install.sh")
    assert done.stderr.startswith("syncd: Python 3.99 is needed, found here: 3.")
    assert done.stderr.count("\n") == 1
