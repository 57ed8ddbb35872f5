"""Running a node, the old flags, finding the configuration, exit codes."""

import os
import subprocess
import sys
import types

import click
import pytest

from protocol.keys import derive_read_only
from syncd import __version__
from syncd.cli.main import main
from syncd.config import OperatorError, Settings
from tests.cli.conftest import REPOSITORY, Shell
from tests.config.conftest import SECRET


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, list[str]]]:
    """What the daemon was started with; it ends with exit code 7."""
    starts: list[tuple[Settings, list[str]]] = []

    def run(settings: Settings, warnings: list[str]) -> int:
        starts.append((settings, warnings))
        return 7

    daemon = types.ModuleType("syncd.node.daemon")
    daemon.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "syncd.node.daemon", daemon)
    return starts


@pytest.mark.parametrize("arguments", [("--config", "sync.json"), ()])
def test_without_a_verb_a_node_runs(
    shell: Shell, started: list[tuple[Settings, list[str]]], arguments: tuple[str, ...]
) -> None:
    assert shell.call(*arguments).exit_code == 7
    ((settings, warnings),) = started
    assert settings.folders[0].dir == str(shell.root / "site")
    assert warnings == []


def test_the_environment_names_the_configuration(shell: Shell, started: list[tuple[Settings, list[str]]]) -> None:
    shell.place.config.rename(shell.root / "other.json")
    assert shell.call(SYNCD_CONFIG="other.json").exit_code == 7
    assert len(started) == 1


def test_a_broken_configuration_is_one_line_and_78(shell: Shell) -> None:
    shell.place.write('{"shared_folders": [{"dri": "site"}]}')
    done = shell.run("--config", "sync.json")
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.splitlines()[-1] == 'sync.json:1:22: shared_folders[0].dri: unknown key; did you mean "dir"?'
    shell.place.write('{"shared_folders": [{"dir": "site", }')
    done = shell.run("--config", "sync.json")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (os.EX_CONFIG, 1, "")


def test_a_readable_secret_is_one_line_and_77(shell: Shell) -> None:
    (shell.root / "site.secret").chmod(0o644)
    done = shell.run("--config", "sync.json")
    assert done.returncode == os.EX_NOPERM
    secret = shell.root / "site.secret"
    assert done.stderr == (
        f"sync.json:1:77: shared_folders[0].secret_file: others can read {secret} (mode 0644): chmod 600 {secret}\n"
    )


def test_no_configuration_anywhere(shell: Shell) -> None:
    shell.place.config.unlink()
    done = shell.run("check-config", "none.json")
    assert done.returncode == os.EX_CONFIG
    assert done.stderr == "none.json: there is no such file; `syncd init --dir DIR` writes one\n"


@pytest.mark.parametrize(
    ("arguments", "begin", "end"),
    [
        (("stauts",), "there is no verb 'stauts'; did you mean status? ", "see syncd --help"),
        (("xyzzy",), "there is no verb 'xyzzy'; ", "see syncd --help"),
        (("st\x1b[31matus",), "there is no verb 'st\\x1b[31matus'; did you mean status? ", "see syncd --help"),
        (("status", "--jsno"), "No such option", " see syncd status --help"),
        (("--nonsense",), "No such option", "see syncd --help"),
        (("wait", "--timeout", "soon"), "Invalid value for '--timeout'", "; see syncd wait --help"),
        (("init",), "Missing option '--dir'", "; see syncd init --help"),
        (("archive", "lst"), "No such command 'lst'", "see syncd archive --help"),
    ],
)
def test_wrong_command_lines_get_one_line(shell: Shell, arguments: tuple[str, ...], begin: str, end: str) -> None:
    result = shell.call(*arguments)
    assert result.exit_code == os.EX_USAGE
    (line,) = result.output.splitlines()
    assert line.startswith(f"syncd: {begin}")
    assert line.endswith(end)


@pytest.mark.parametrize(
    ("error", "code", "output"),
    [(KeyboardInterrupt(), 130, ""), (click.ClickException("what click finds"), 1, "Error: what click finds\n")],
)
def test_interrupts_and_errors_of_click(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, output: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("syncd.cli.client.Client.ask", fail)
    result = shell.call("status")
    assert (result.exit_code, result.output.lstrip("\n")) == (code, output)


def test_as_a_part_of_another_program_nothing_exits(shell: Shell) -> None:
    with pytest.raises(OperatorError, match="no node is running"):
        main(["status"], standalone_mode=False)


def test_names_from_the_file_cannot_command_a_terminal(shell: Shell) -> None:
    shell.place.write('{"shared_folders": [{"dir": "x\\u001b[31m"}]}')
    result = shell.call("check-config")
    assert "\x1b" not in result.output
    shell.place.write('{"\\u001b[31mdir": 1, "shared_folders": [{"dir": "site"}]}')
    assert "\\x1b[31mdir: unknown key" in shell.call("check-config").output


def test_old_flags(shell: Shell) -> None:
    assert shell.call("--dump-sample-config").output == (REPOSITORY / "config.example.json").read_text()
    assert shell.call("--generate-secret").output.startswith("syncd-rw1-")
    assert shell.call("--get-ro-secret", SECRET).output == derive_read_only(SECRET) + "\n"
    assert shell.call("--get-ro-secret", "opensesame").exit_code == os.EX_DATAERR


def test_samples(shell: Shell) -> None:
    assert shell.call("sample-config").output == (REPOSITORY / "config.example.json").read_text()
    assert "secret_file" in shell.call("sample-config", "--simple").output
    assert '"$defs"' in shell.call("sample-config", "--schema").output


def test_help_lists_the_verbs(shell: Shell) -> None:
    result = shell.call("--help")
    assert result.exit_code == 0
    for verb in ("init", "status", "wait", "rescan", "check-config", "sample-config", "generate-secret", "version"):
        assert f"\n  {verb} " in result.output
    for verb in ("init", "status", "wait", "rescan", "check-config", "derive-secret"):
        assert "--config FILE" in shell.call(verb, "-h").output


def test_version(shell: Shell) -> None:
    assert shell.call("version").output == shell.call("--version").output == f"syncd {__version__}\n"


def test_an_old_python_gets_one_line(shell: Shell) -> None:
    program = (
        "import sys; sys.version_info = (3, 9, 2, 'final', 0)\n"
        "import runpy; runpy.run_path(sys.argv[1], run_name='syncd.cli.main')\n"
    )
    source = str(REPOSITORY / "syncd/cli/main.py")
    done = subprocess.run([sys.executable, "-c", program, source], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "syncd: Python 3.11 or newer is needed, this is Python 3.9\n"
