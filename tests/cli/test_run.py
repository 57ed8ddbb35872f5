"""`syncd run --until`: it waits, then becomes the command."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncd.cli.client import Client, NotRunning
from syncd.cli.run import ABSENCE, Waiting
from syncd.config import OperatorError
from tests.cli.conftest import Shell, python_path
from tests.cli.fake_node import FakeNode

READY = {"ready": True, "reason": "ready"}
TELLING = """
import json, os, signal, sys
ignored = [n for n in (2, 3, 13, 15, 25) if signal.getsignal(n) is signal.SIG_IGN]
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(json.dumps({"pid": os.getpid(), "ignored": ignored, "blocked": blocked, "arguments": sys.argv[1:]}))
sys.exit(7)
"""
STANDARD_SIGNALS = (1 << 31) - 1  # those after them belong to the C library, and come as the test was started with


def start(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    """The verb as a program of its own."""
    command = [sys.executable, "-m", "syncd.cli", "run", *arguments]
    variables = os.environ | {"PYTHONPATH": python_path()}
    return subprocess.Popen(
        command, cwd=shell.root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_it_becomes_the_command(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 200, READY)
    script = shell.root / "tell.py"
    script.write_text(TELLING)
    process = start(
        shell, "--until", "class=themes", "--until", "ready", "--timeout", "30", "--",
        sys.executable, "-E", str(script), "--until", "x", "--", "-h",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (7, "")
    told = json.loads(out)
    assert told.pop("pid") == process.pid
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]  # of the test's own child
    assert told == {"ignored": ignored_by_python, "blocked": [], "arguments": ["--until", "x", "--", "-h"]}
    assert [query.get("class") for _, query in node.asked] == ["themes", None]


def test_the_command_begins_with_default_signals(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 200, READY)
    done = shell.run("run", "--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    masks = [int(line.split()[1], 16) for line in done.stdout.splitlines()]
    assert [mask & STANDARD_SIGNALS for mask in masks] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_waiting(shell: Shell, node: FakeNode, number: signal.Signals) -> None:
    asked, over = threading.Event(), threading.Event()

    def wait(_query: dict[str, str]) -> tuple[int, dict[str, object]]:
        asked.set()
        over.wait(30)
        return 200, READY

    node.answers["GET /v1/wait"] = wait
    process = start(shell, "--until", "class=themes", "--", "touch", "started")
    try:
        assert asked.wait(30)
        process.send_signal(number)
        assert process.wait(20) == 128 + number
    finally:
        over.set()
        process.communicate()
    assert not (shell.root / "started").exists()


def test_nothing_is_run_before_the_time(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 504, {"ready": False, "reason": "themes: 3 paths are still to come"})
    result = shell.call("run", "--until", "class=themes", "--timeout", "0", "--", "true")
    assert (result.output, result.exit_code) == ("syncd: not ready in time: themes: 3 paths are still to come\n", 75)


def test_no_node(shell: Shell) -> None:
    result = shell.call("run", "--timeout", "0", "--", "true")
    assert result.exit_code == os.EX_UNAVAILABLE
    assert "no node is running for sync.json" in result.output


def test_a_node_may_be_away_for_a_while(shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is; but not for longer at a time."""
    now = 0.0
    absent = {0, 1, *range(3, 1000)}  # questions without an answer
    questions = iter(range(1000))
    node.answer("GET /v1/wait", 504, {"ready": False, "reason": "not yet"})
    ask = Client.ask

    def sometimes(self: Client, *arguments: object, **named: object) -> object:
        if next(questions) in absent:
            raise NotRunning("no node is running", os.EX_UNAVAILABLE)
        return ask(self, *arguments, **named)  # type: ignore[arg-type]

    def pause(seconds: float) -> None:
        nonlocal now
        now += 20.0

    monkeypatch.setattr(Client, "ask", sometimes)
    with pytest.raises(NotRunning):
        Waiting(Client("sync.json"), {}, None, lambda: now, pause).run()
    assert now == 20.0 * (2 + 1 + 2)
    assert ABSENCE < 40.0


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["no-such-command-here"], 127, "no-such-command-here is in no directory of PATH"),
        (["./missing"], 127, "./missing does not exist"),
        (["./plain"], 126, "./plain cannot be executed: chmod +x ./plain"),
        (["./site"], 126, "./site is a directory"),
        (["./broken"], 127, "the interpreter that it names, does not exist"),
        (["./empty"], 126, "cannot be run: Exec format error"),
    ],
)
def test_commands_that_cannot_be_run(shell: Shell, node: FakeNode, command: list[str], code: int, words: str) -> None:
    node.answer("GET /v1/wait", 200, READY)
    for name, mode, text in (("plain", 0o644, ""), ("broken", 0o755, "#!/no/such/sh\n"), ("empty", 0o755, "")):
        file: Path = shell.root / name
        file.write_text(text)
        file.chmod(mode)
    done = shell.run("run", "--", *command)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("condition", ["themes", "class=", "state=in-sync"])
def test_conditions_that_make_no_sense(shell: Shell, condition: str) -> None:
    result = shell.call("run", "--until", condition, "--", "true")
    assert result.exit_code == os.EX_USAGE
    assert "expected class=NAME or ready" in result.output


def test_a_class_that_nobody_has(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 404, {"error": "there is no class theme; there are: themes"})
    with pytest.raises(OperatorError, match="there is no class theme"):
        Waiting(Client("sync.json"), {}, None, lambda: 0.0, lambda _: None).run()
