"""Command lines against a configuration in a temporary place."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from syncd.cli.main import main
from tests.cli.fake_node import FakeNode, running
from tests.config.conftest import Place

REPOSITORY = Path(__file__).parents[2]


def python_path() -> str:
    """Where a program of its own finds what this one imports."""
    return os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])


class Shell:
    """Runs syncd where the configuration is."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.root = place.root

    def call(self, *arguments: str, stdin: str | None = None, **environment: str) -> Result:
        """In this process."""
        return CliRunner().invoke(main, arguments, input=stdin, env=environment, prog_name="syncd")

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """As a program of its own."""
        variables = {key: value for key, value in os.environ.items() if key != "SYNCD_CONFIG"}
        variables |= {"PYTHONPATH": python_path(), **environment}
        command = [sys.executable, "-m", "syncd.cli", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=variables, input=stdin, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    place = Place(tmp_path)
    place.write('{"storage_path": "state", "shared_folders": [{"dir": "site", "secret_file": "site.secret"}]}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCD_CONFIG", raising=False)
    return Shell(place)


@pytest.fixture
def node(shell: Shell) -> Iterator[FakeNode]:
    with running(shell.root / "state/control.sock") as fake:
        yield fake
