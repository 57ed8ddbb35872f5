"""The verbs that talk to a node, and those that check and make things."""

import io
import json
import os
import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.keys import derive_read_only, parse_secret
from syncd.cli.client import Client, NotRunning
from syncd.cli.credentials import given_secret
from syncd.cli.wait import LONG_POLL, RETRY, wait_for
from syncd.config import OperatorError
from tests.cli.conftest import Shell
from tests.cli.fake_node import FakeNode, running
from tests.config.conftest import OTHER_SECRET, SECRET

NOT_RUNNING = "syncd: no node is running for sync.json; start one with: syncd --config sync.json\n"

# --- rescan


def test_rescan(shell: Shell, node: FakeNode) -> None:
    node.answer("POST /v1/rescan", 200, {"rescanned": []})
    assert shell.call("rescan").output == "scanning all folders\n"
    assert shell.call("rescan", "site/").output == f"scanning {shell.root}/site\n"
    assert shell.call("--config", "sync.json", "rescan", "--folder", str(shell.root / "site")).exit_code == 0
    folder = {"folder": f"{shell.root}/site"}
    assert node.asked == [("POST /v1/rescan", query) for query in ({}, folder, folder)]


def test_the_words_of_the_node_are_told(shell: Shell, node: FakeNode) -> None:
    node.answer("POST /v1/rescan", 404, {"error": "no folder /x in this node"})
    result = shell.call("rescan", "/x")
    assert (result.output, result.exit_code) == ("syncd: no folder /x in this node\n", os.EX_USAGE)
    node.answer("POST /v1/rescan", 500, b"")
    result = shell.call("rescan")
    assert (result.output, result.exit_code) == ("syncd: the node answered 500\n", os.EX_UNAVAILABLE)


@pytest.mark.parametrize("verb", ["status", "rescan"])
def test_no_node_is_one_line_and_69(shell: Shell, verb: str) -> None:
    done = shell.run(verb)
    assert (done.stderr, done.returncode) == (NOT_RUNNING, os.EX_UNAVAILABLE)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"\xff"])
def test_an_answer_that_makes_no_sense(shell: Shell, node: FakeNode, answer: bytes) -> None:
    node.answer("GET /v1/status", 200, answer)
    result = shell.call("status")
    assert result.exit_code == os.EX_UNAVAILABLE
    assert "makes no sense" in result.output


def test_a_socket_that_is_left_over(shell: Shell) -> None:
    with running(shell.root / "state/control.sock"):
        pass
    (shell.root / "state/control.sock").touch()
    assert shell.call("status").exit_code == os.EX_UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PermissionError(), os.EX_NOPERM, "run this as that user, or with sudo"),
        (TimeoutError(), os.EX_UNAVAILABLE, "does not answer"),
    ],
)
def test_trouble_with_the_socket(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: OSError, code: int, words: str
) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr("syncd.cli.client._UnixConnection.connect", fail)
    result = shell.call("status")
    assert result.exit_code == code
    assert words in result.output


# --- approve, reject


@pytest.mark.parametrize(("verb", "done"), [("approve", "approved"), ("reject", "rejected")])
def test_the_word_on_what_is_held(shell: Shell, node: FakeNode, verb: str, done: str) -> None:
    node.answer(f"POST /v1/{verb}", 200, {"dir": "/srv/site", "paths": 1200, "peers": 2})
    assert shell.call(verb).output == f"{done}: 1200 changes in /srv/site\n"
    node.answer(f"POST /v1/{verb}", 200, {"dir": "/srv/site", "paths": 1, "peers": 0})
    result = shell.call(verb, "site")
    assert result.exit_code == 0
    assert f"{done}: 1 change in /srv/site\n" in result.output
    assert "syncd: no peer is connected: " in result.output
    assert node.asked == [(f"POST /v1/{verb}", {}), (f"POST /v1/{verb}", {"folder": f"{shell.root}/site"})]
    node.answer(f"POST /v1/{verb}", 200, {"dir": "/srv/site", "paths": None, "peers": 1})
    assert shell.call(verb).output == f"{done}: /srv/site as it is now\n"
    node.answer(f"POST /v1/{verb}", 409, {"error": "nothing is held in /srv/site"})
    result = shell.call(verb)
    assert (result.output, result.exit_code) == ("syncd: nothing is held in /srv/site\n", os.EX_USAGE)


# --- drain, undrain


def test_drain_and_undrain(shell: Shell, node: FakeNode) -> None:
    node.answer("POST /v1/drain", 200, {"changed": True, "peers": 2, "ready": True, "reason": "ready"})
    assert shell.call("drain").output == "draining: 2 peers told, the balancer hears of it with its next check\n"
    node.answer("POST /v1/drain", 200, {"changed": False, "peers": 2, "ready": True, "reason": "ready"})
    assert shell.call("drain").output == "draining already\n"
    node.answer("POST /v1/undrain", 200, {"changed": True, "peers": 2, "ready": False, "reason": "themes: soon"})
    result = shell.call("undrain")
    assert result.exit_code == 0
    assert result.output == "no longer draining\nsyncd: not ready: themes: soon\n"
    node.answer("POST /v1/undrain", 409, {"error": "the node is stopping"})
    result = shell.call("undrain")
    assert (result.output, result.exit_code) == ("syncd: the node is stopping\n", os.EX_USAGE)


# --- wait


def test_wait_until_ready(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 200, {"ready": True})
    result = shell.call("wait", "--class", "themes", "--class", "plugins", "--folder", "site", "--timeout", "30")
    assert (result.output, result.exit_code) == ("ready\n", 0)
    assert [query["class"] for _, query in node.asked] == ["themes", "plugins"]
    assert {query["folder"] for _, query in node.asked} == {f"{shell.root}/site"}
    assert all(29 < float(query["timeout"]) <= 30 for _, query in node.asked)


def test_wait_times_out_with_75_and_the_reason(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 504, {"ready": False, "reason": "3 paths of themes are still to come"})
    result = shell.call("wait", "--class", "themes", "--timeout", "0")
    assert result.exit_code == os.EX_TEMPFAIL
    assert result.output == "syncd: not ready in time: 3 paths of themes are still to come\n"
    assert len(node.asked) == 1


def test_wait_for_a_node_that_never_comes(shell: Shell) -> None:
    done = shell.run("wait", "--timeout", "0.1")
    assert done.returncode == os.EX_TEMPFAIL
    assert done.stderr.splitlines()[0] == "syncd: no node is running yet, waiting for one"
    assert done.stderr.splitlines()[1].startswith("syncd: not ready in time: no node is running")


def test_wait_refuses_what_the_node_refuses(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/wait", 404, {"error": "no folder has a class thmes"})
    result = shell.call("wait", "--class", "thmes")
    assert (result.output, result.exit_code) == ("syncd: no folder has a class thmes\n", os.EX_USAGE)


class Clock:
    """Time that passes only when somebody pauses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def time(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_wait_starts_before_the_node_and_outlives_its_restart(shell: Shell) -> None:
    clock = Clock()
    client = Client("sync.json")
    answers = iter([(503, {"reason": "starting"}), (504, {}), (200, {})])
    started = threading.Event()

    def pause(seconds: float) -> None:
        clock.pause(seconds)
        if len(clock.pauses) == 3:
            node = up.enter_context(running(Path(client.socket)))
            node.answers["GET /v1/wait"] = lambda _query: next(answers)
            started.set()

    with ExitStack() as up:
        wait_for(client, {"class": "a"}, None, clock.time, pause)
    assert started.is_set()
    assert clock.pauses == [RETRY] * 5


def test_a_long_wait_asks_again_and_again(shell: Shell, node: FakeNode) -> None:
    clock = Clock()

    def answer(query: dict[str, str]) -> tuple[int, dict[str, str]]:
        clock.now += float(query["timeout"])
        return 504, {"reason": "not yet"}

    node.answers["GET /v1/wait"] = answer
    with pytest.raises(OperatorError, match="not ready in time: not yet") as caught:
        wait_for(Client("sync.json"), {}, clock.now + 150, clock.time, clock.pause)
    assert caught.value.code == os.EX_TEMPFAIL
    spans = [float(query["timeout"]) for _, query in node.asked]
    assert spans == [LONG_POLL, LONG_POLL, pytest.approx(150 - 2 * LONG_POLL - 2 * RETRY)]


def test_a_client_knows_when_nobody_is_there(shell: Shell) -> None:
    with pytest.raises(NotRunning):
        Client("sync.json").ask("GET", "/v1/status")


def test_a_file_without_a_storage_says_which_one_was_looked_at(shell: Shell) -> None:
    shell.place.write('{"storage_pth": "state"}')
    said = shell.call("status", XDG_STATE_HOME=str(shell.root)).output
    assert "no node is running for sync.json (it names no storage_path, so /" in said


# --- check-config


def test_check_config(shell: Shell) -> None:
    shell.place.write(
        """{"device_name": "web1", "storage_path": "state", "http": {"listen": ":8385"}, "service": "1.2.3.4:80",
        "shared_folders": [{"dir": "site", "secret_file": "site.secret", "known_hosts": ["10.0.0.2", "srv:a.b"],
          "priority": [{"class": "themes", "match": ["/themes/"], "order": "newest"}], "ready": {"classes": ["themes"]}
        }, {"dir": "other", "secret_file": "ro.secret", "conflict_copies": "beside"}]}"""
    )
    shell.place.secret("ro.secret", derive_read_only(OTHER_SECRET))
    assert shell.call("check-config").exit_code == 0
    done = shell.run("check-config", "sync.json")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "ok",
        f"node web1: port 55555 on all addresses, state in {shell.root}/state",
        "http on :8385",
        f"folder {shell.root}/site: read-write, fingerprint {parse_secret(SECRET).fingerprint}",
        "  peers: 10.0.0.2:55555, srv:a.b",
        "  classes: themes (newest), rest (name)",
        "  ready when complete: themes",
        f"folder {shell.root}/other: read-only, fingerprint {parse_secret(OTHER_SECRET).fingerprint}",
        "  peers: none, others must know this node",
        "  classes: rest (name)",
        "  ready when complete: rest",
        "  conflict copies: none, since the secret is read-only",
    ]
    assert done.stderr == ""


def test_check_config_tells_every_fault(shell: Shell) -> None:
    shell.place.write('{"upload_limit": -1,\n "shared_folders": [{"dri": "site"}]}')
    done = shell.run("check-config")
    assert done.returncode == os.EX_CONFIG
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "sync.json:1:18: upload_limit: must be 0 or more",
        "sync.json:2:21: shared_folders[0].dir: is missing",
        'sync.json:2:22: shared_folders[0].dri: unknown key; did you mean "dir"?',
    ]


# --- secrets


def test_a_generated_secret_is_all_that_is_printed(shell: Shell) -> None:
    first, second = shell.call("generate-secret"), shell.call("generate-secret")
    assert first.output != second.output
    assert parse_secret(first.output).folder_signing is not None
    assert first.output.count("\n") == 1


def test_out_is_private_and_never_overwrites(shell: Shell) -> None:
    old_mask = os.umask(0)
    try:
        result = shell.call("generate-secret", "--out", "new.secret")
    finally:
        os.umask(old_mask)
    made = shell.root / "new.secret"
    assert (result.exit_code, result.output) == (0, "")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    before = made.read_text()
    result = shell.call("generate-secret", "--out", "new.secret")
    assert result.exit_code == os.EX_CANTCREAT
    assert result.output == "syncd: new.secret exists and is not overwritten; move it away or name another\n"
    assert made.read_text() == before
    (shell.root / "dangling").symlink_to("elsewhere")
    assert shell.call("generate-secret", "--out", "dangling").exit_code == os.EX_CANTCREAT
    assert shell.call("generate-secret", "--out", "none/x").output.endswith("created: No such file or directory\n")


def test_a_full_disk_leaves_no_half_secret(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("syncd.cli.files.os.fsync", full)
    result = shell.call("generate-secret", "--out", "new.secret")
    assert result.exit_code == os.EX_CANTCREAT
    assert "No space left on device" in result.output
    assert not (shell.root / "new.secret").exists()


def test_a_place_that_cannot_be_written(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> int:
        raise PermissionError

    monkeypatch.setattr("syncd.cli.files.os.open", forbidden)
    result = shell.call("generate-secret", "--out", "new.secret")
    assert result.exit_code == os.EX_NOPERM
    assert "permission denied" in result.output


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        ((), SECRET + "\n"),
        (("-",), f"  {SECRET.upper()} \n"),
        (("site.secret",), None),
        (("--secret-file", "site.secret"), None),
        (("--secret-file", "-"), SECRET),
        (("--config", "sync.json"), None),
        (("--folder", "site"), None),
    ],
)
def test_derive_secret(shell: Shell, arguments: tuple[str, ...], stdin: str | None) -> None:
    result = shell.call("derive-secret", "--read-only", *arguments, stdin=stdin)
    assert (result.output, result.exit_code) == (derive_read_only(SECRET) + "\n", 0)


def test_a_secret_on_the_command_line_works_with_a_warning(shell: Shell) -> None:
    assert derive_read_only(SECRET) in shell.call("derive-secret", "--read-only", SECRET).output
    done = shell.run("derive-secret", "--read-only", SECRET)
    assert done.stdout == derive_read_only(SECRET) + "\n"
    assert "other users can see a secret on a command line" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ((), "opensesame", os.EX_DATAERR),
        ((), "", os.EX_DATAERR),
        (("none.secret",), None, os.EX_CONFIG),
        (("site.secret", "--secret-file", "-"), SECRET, os.EX_USAGE),
        (("--folder", "elsewhere"), None, os.EX_USAGE),
        (("--config", "none.json"), None, os.EX_CONFIG),
    ],
)
def test_derive_secret_from_nothing_useful(
    shell: Shell, arguments: tuple[str, ...], stdin: str | None, code: int
) -> None:
    assert shell.call("derive-secret", "--read-only", *arguments, stdin=stdin).exit_code == code


def test_a_secret_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def prompt(text: str, *, hide_input: bool, err: bool) -> str:
        assert hide_input
        assert err, "standard output gets the secret and nothing else"
        return f" {SECRET}"

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.prompt", prompt)
    assert given_secret("-") == SECRET


def test_a_tier_must_be_named(shell: Shell) -> None:
    assert shell.call("derive-secret", stdin=SECRET).exit_code == os.EX_USAGE


def test_derive_into_a_file(shell: Shell) -> None:
    result = shell.call("derive-secret", "--read-only", "--out", "ro.secret", "site.secret")
    assert (result.output, result.exit_code) == ("", 0)
    assert (shell.root / "ro.secret").read_text() == derive_read_only(SECRET) + "\n"
    assert stat.S_IMODE((shell.root / "ro.secret").stat().st_mode) == 0o600


# --- status --json


def test_status_json_is_one_object_in_ascii(shell: Shell, node: FakeNode) -> None:
    report = {"node": {"name": "é\x9b31m"}, "folders": []}
    node.answer("GET /v1/status", 200, report)
    result = shell.call("status", "--json")
    assert json.loads(result.output) == report
    assert result.output.isascii()
