"""The manual page, docs/CLI.md and shell completion: made from the verbs themselves."""

import os
import shutil
import subprocess
import sys

import pytest

from syncd.cli.completion import SHELLS
from tests.cli.conftest import REPOSITORY, Shell
from tests.cli.test_overview_verbs import verbs


def test_the_manual_is_current() -> None:
    run = subprocess.run([sys.executable, REPOSITORY / "tools/manual.py", "--check"], check=False, timeout=60)
    assert run.returncode == 0, "run python tools/manual.py"


def test_the_manual_knows_every_verb_and_option() -> None:
    page = (REPOSITORY / "docs/CLI.md").read_text()
    for name, command in verbs():
        section = page.split(f"### syncd {name}\n")[1].split("\n### ")[0]
        for option in command.params:
            assert all(text in section for text in option.opts if text.startswith("--") and text != "--config"), name


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_the_manual_page_is_well_formed() -> None:
    command = ["man", "--warnings", "-l", str(REPOSITORY / "deploy/syncd.1")]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stderr == ""
    assert "syncd wait" in done.stdout


@pytest.mark.parametrize("shell_name", SHELLS)
def test_completion_scripts(shell: Shell, shell_name: str) -> None:
    script = shell.call("completion", shell_name).output
    assert f"_SYNCD_COMPLETE={shell_name}_complete" in script
    interpreter = shutil.which(shell_name)
    if interpreter is not None:
        subprocess.run([interpreter, "-n"], input=script, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "number", "expected"),
    [
        ("syncd sta", 1, ["status"]),
        ("syncd conflicts re", 2, ["restore"]),
        ("syncd wait --ti", 2, ["--timeout"]),
        ("syncd completion f", 2, ["fish"]),
    ],
)
def test_completing(shell: Shell, words: str, number: int, expected: list[str]) -> None:
    done = shell.run(_SYNCD_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(number))
    assert [line.split(",")[1] for line in done.stdout.splitlines()] == expected


def test_a_shell_that_is_not_known(shell: Shell) -> None:
    assert shell.call("completion", "powershell").exit_code == os.EX_USAGE
