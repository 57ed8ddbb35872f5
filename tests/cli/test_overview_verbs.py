"""`syncd folders`, `syncd need`, `syncd check`, and what all verbs have in common."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest

from syncd.cli import check
from syncd.cli.main import VERBS, main
from tests.cli.conftest import Shell
from tests.cli.fake_node import FakeNode
from tests.cli.test_status import folder, peer, report

EVIL = "\x1b[31mevil\n|"
READY = {"class": "themes", "need_files": 0, "need_bytes": 0, "complete": True, "ready": True, "reason": ""}
LATE = {**READY, "complete": False, "ready": False, "reason": "needs 3 files"}

# --- what all verbs have in common

WITHOUT_JSON = {
    "completion": "what it prints is for a shell",
    "demo": "a show for people",
    "run": "it becomes another command",
    "sample-config": "what it prints is the file itself",
}


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be called, by its words."""
    context = click.Context(main)
    for name in VERBS:
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", item) for below, item in command.commands.items())
        else:
            yield name, command


def test_every_verb_answers_programs_too() -> None:
    without = {name for name, command in verbs() if not any("--json" in item.opts for item in command.params)}
    assert without == WITHOUT_JSON.keys()


def test_every_verb_and_every_option_says_what_it_is_for() -> None:
    for name, command in verbs():
        assert command.help, name
        assert all(item.help for item in command.params if isinstance(item, click.Option)), name


# --- folders


def test_folders(shell: Shell, node: FakeNode) -> None:
    full = folder(need_files=3, need_bytes=5_000, tier="read-write", fingerprint="ab12")
    node.answer("GET /v1/status", 200, report(full, folder(dir=EVIL, state="waiting")))
    lines = shell.call("folders").output.splitlines()
    assert lines[0] == "/srv/site: in-sync, read-write, 512 files, 34.5 MB, needs 3 files, 5.0 kB, secret ab12"
    assert lines[1].startswith("\\x1b[31mevil\\n|: waiting, ")
    assert len(lines) == 2
    node.answer("GET /v1/status", 200, report(folder(files=0, bytes=0, settled=False, uncounted=7, state="waiting")))
    new = "7 found here are not counted yet (this index is new and waits for a peer)"
    assert shell.call("folders").output == f"/srv/site: waiting, 0 files, 0 B, {new}\n"
    node.answer("GET /v1/status", 200, report(full, folder(dir=EVIL, state="waiting")))
    document = json.loads(shell.call("folders", "--json").output)
    assert [item["state"] for item in document["folders"]] == ["in-sync", "waiting"]


# --- need


def item(path: str, **changes: Any) -> dict[str, Any]:
    return {"path": path, "class": "themes", "kind": "file", "bytes": 1_000, "problem": "", **changes}


def test_need(shell: Shell, node: FakeNode) -> None:
    items = [item("themes/a.css"), item("old", kind="removal", bytes=0), item(EVIL, problem="nobody has it")]
    folders = [
        {"dir": "/srv/site", "need_files": 5, "need_bytes": 2_000, "items": items},
        {"dir": "/srv/b", "need_files": 0, "need_bytes": 0, "items": []},
        {"dir": "/srv/c", "need_files": 0, "need_bytes": 0, "items": [], "listing": True},
    ]
    node.answer("GET /v1/need", 200, {"folders": folders})
    result = shell.call("need", "--class", "themes", "--limit", "3", "--folder", "site")
    assert result.output.splitlines() == [
        "/srv/site: needs 5 files, 2.0 kB",
        "  themes     1.0 kB  themes/a.css",
        "  themes    removal  old",
        "  themes     1.0 kB  \\x1b[31mevil\\n|: nobody has it",
        "  and 2 paths more; --limit N lists up to 10000",
        "/srv/b: nothing is missing",
        "/srv/c: nothing is missing of what is known so far; a peer is still telling what there is",
    ]
    assert node.asked == [("GET /v1/need", {"limit": "3", "class": "themes", "folder": f"{shell.root}/site"})]
    assert json.loads(shell.call("need", "--json").output)["folders"] == folders


# --- events

EVENTS = [
    {"seq": 1, "time_ns": 0, "event": "started", "version": "0.1.0", "name": "web1"},
    {
        "seq": 2,
        "time_ns": 0,
        "event": "applied",
        "folder": "/s",
        "path": EVIL,
        "kind": "file",
        "bytes": 3,
        "author": "b",
    },
    {"seq": 3, "time_ns": 0, "event": "held", "folder": "/s", "deletions": 0, "reason": ["a", "b"], "peer": ""},
    {"seq": 4, "time_ns": 0, "event": "state", "folder": "/s", "before": "waiting", "state": "scanning"},
    {"event": "missed", "count": 7},
]


def test_events(shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "".join(json.dumps(event) + "\n\n" for event in EVENTS).encode()
    node.answers["GET /v1/events"] = lambda _query: (200, body)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert shell.call("events").output.splitlines() == [
        "00:00:00 started version: 0.1.0, name: web1",
        "00:00:00 /s applied \\x1b[31mevil\\n| 3 B by b",
        "00:00:00 /s held deletions: 0, reason: a, b",
        "00:00:00 /s state: scanning, before: waiting",
        "missed 7 events: they came faster than they were read",
    ]
    output = shell.call("events", "--json", "--follow", "--since", "4", "--type", "held", "--type", "applied").output
    assert [json.loads(text) for text in output.splitlines()] == EVENTS
    assert node.asked[-1] == ("GET /v1/events", {"follow": "1", "types": "held,applied", "since": "4"})


def test_events_without_a_node(shell: Shell) -> None:
    result = shell.call("events", "--follow")
    assert (result.exit_code, result.output.count("\n")) == (os.EX_UNAVAILABLE, 1)


def test_too_many_followers(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/events", 503, {"error": "16 others follow the events already: end one of them"})
    result = shell.call("events")
    assert (result.exit_code, result.output.count("\n")) == (os.EX_UNAVAILABLE, 1)
    assert "end one of them" in result.output


# --- check


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"peers": [peer("web2")]}, 0, "1 folder, 1 peer connected"),
        ({"state": "held", "reason": "1200 deletions"}, 2, "/srv/site: 1200 deletions"),
        ({"state": "error", "problems": [{"path": "a", "operation": "read", "reason": "no"}]}, 2, "error: a: no"),
        ({"state": "waiting"}, 1, "/srv/site: waiting"),
        ({"state": "syncing"}, 0, "1 folder"),
        ({"state": "syncing", "behind_seconds": 301}, 1, "not in sync for 5 min 1 s"),
        ({"conflicts": 2}, 1, "2 conflicts"),
        ({"alarms": ["two | nodes"]}, 1, "/srv/site: two / nodes"),
        ({"peers": [peer("web2", connected=False, reason="refused")]}, 2, "no peer is connected: web2: refused"),
        ({"peers": [peer("web2", connected=False), peer("web3")]}, 1, "peer web2 is not connected"),
        ({"peers": [peer("web2", lag_seconds=400.0)]}, 1, "peer web2 is 6 min 40 s behind"),
        ({"classes": [LATE]}, 0, "1 folder"),
        ({"classes": [READY]}, 0, "1 folder"),
    ],
)
def test_check(shell: Shell, node: FakeNode, changes: dict[str, Any], code: int, words: str) -> None:
    node.answer("GET /v1/status", 200, report(folder(**changes)))
    result = shell.call("check")
    assert result.exit_code == code
    verdict, _, data = result.output.splitlines()[0].partition(" | ")
    assert verdict.startswith(f"SYNCD {check.NAMES[code]}: ")
    assert words in verdict
    assert data.split()[0] == "need_files=0;;;0"
    document = json.loads(shell.call("check", "--json").output)
    assert (document["code"], document["verdict"]) == (code, check.NAMES[code])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--class", "themes"), 2), (("--class", "nothing"), 2), ((), 0), (("--lag", "soon"), 3), (("--nonsense",), 3)],
)
def test_what_check_is_asked(shell: Shell, node: FakeNode, arguments: tuple[str, ...], code: int) -> None:
    node.answer("GET /v1/status", 200, report(folder(classes=[LATE])))
    assert shell.call("check", *arguments).exit_code == code


def test_the_worst_comes_first_and_the_rest_below(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/status", 200, report(folder(state="held", reason="why", conflicts=1), folder(state="waiting")))
    lines = shell.call("check").output.splitlines()
    assert lines[0].startswith("SYNCD CRITICAL: /srv/site: why | need_files=0;;;0 need_bytes=0B;;;0 peers=0;;;0 lag=0s")
    assert lines[1:] == ["/srv/site: 1 conflict, see syncd conflicts list", "/srv/site: waiting"]


def test_check_without_a_node_or_a_configuration(shell: Shell) -> None:
    done = shell.run("check")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("SYNCD CRITICAL: no node is running")
    shell.place.config.unlink()
    done = shell.run("check")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("SYNCD UNKNOWN: ")


def test_check_of_a_configuration_for_programs(shell: Shell) -> None:
    document = json.loads(shell.call("check-config", "--json").output)
    assert (document["ok"], document["errors"]) == (True, [])
    shell.place.write('{"shared_folders": [{"dri": "site"}]}')
    result = shell.call("check-config", "--json")
    assert result.exit_code == os.EX_CONFIG
    assert 'did you mean "dir"' in json.loads(result.output)["errors"][-1]


# --- prioritize


def test_prioritize(shell: Shell, node: FakeNode) -> None:
    answer = {"dir": "/srv/site", "patterns": ["a", "b"], "paths": 3, "size": 5_000, "more": False}
    node.answer("POST /v1/prioritize", 200, answer)
    assert shell.call("prioritize", "a", "b").output == "/srv/site: 3 paths, 5.0 kB, before all else\n"
    node.answer("POST /v1/prioritize", 200, {**answer, "more": True})
    assert shell.call("prioritize", "a").output == "/srv/site: at least 3 paths, 5.0 kB, before all else\n"
    node.answer("POST /v1/prioritize", 200, {**answer, "paths": 0})
    assert "nothing changes" in shell.call("prioritize", "a").output
    node.answer("POST /v1/prioritize", 200, {**answer, "paths": 0, "listing": True})
    assert "nothing changes; a peer is still telling" in shell.call("prioritize", "a").output
    node.answer("POST /v1/prioritize", 200, {**answer, "patterns": []})
    assert shell.call("prioritize", "--clear", "--folder", "site").output == "/srv/site: in the usual order\n"
    assert node.asked[-1][1] == {"folder": f"{shell.root}/site"}
    for wrong in ((), ("--clear", "a")):
        assert shell.call("prioritize", *wrong).exit_code == os.EX_USAGE


# --- verify

CLEAN = {
    "dir": "/srv/site", "active": False, "stopped": False, "failure": "", "path": "a", "files": 3, "bytes": 5_000,
    "total_files": 3, "total_bytes": 5_000, "changed": 0, "damaged": 0, "unsure": 0, "unreadable": 0, "found": [],
}  # fmt: skip
FOUND = {"path": EVIL, "verdict": "damaged", "reason": "3 bytes", "fate": "healing"}


def test_verify(shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.cli.verify.STEP", 0.0)
    node.answer("POST /v1/verify", 200, {**CLEAN, "active": True})
    node.answer("GET /v1/verify", 200, CLEAN)
    result = shell.call("verify", "a/b")
    assert (result.exit_code, result.output) == (0, "verified 3 files, 5.0 kB: all as they were written\n")
    assert node.asked[0] == ("POST /v1/verify", {"heal": "0", "path": b"a/b".hex()})
    node.answer("GET /v1/verify", 200, {**CLEAN, "damaged": 1, "unsure": 1, "found": [FOUND]})
    result = shell.call("verify", "--heal")
    assert result.exit_code == os.EX_DATAERR
    assert result.output.splitlines()[:3] == [
        "\\x1b[31mevil\\n|: damaged: 3 bytes; healing",
        "and 1 more, see the log",
        "verified 3 files, 5.0 kB: 1 damaged, 1 unsure",
    ]
    node.answer("GET /v1/verify", 200, {**CLEAN, "failure": "no"})
    assert shell.call("verify").exit_code == os.EX_IOERR
    assert shell.call("verify", "--background").output == "verifying /srv/site\n"


def test_whoever_interrupts_verify_ends_it(shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("syncd.cli.verify.time.sleep", interrupt)
    node.answer("POST /v1/verify", 200, {**CLEAN, "active": True})
    node.answer("DELETE /v1/verify", 200, CLEAN)
    assert shell.call("verify").exit_code == 130
    assert node.asked[-1][0] == "DELETE /v1/verify"
    assert shell.call("verify", "--stop").output == "stopped\n"
