"""What people see of a status."""

import io
import os
import re
from typing import Any

import pytest
from rich.console import Console

from syncd.cli import status_live, wording
from syncd.cli.progress import Progress
from syncd.cli.status_text import render
from syncd.config import OperatorError
from tests.cli.conftest import Shell
from tests.cli.fake_node import FakeNode


def peer(name: str, **changes: Any) -> dict[str, Any]:
    plain = {"name": name, "id": "00", "address": "10.0.0.2:55555", "connected": True, "tier": "read-write"}
    return {**plain, "in_sync": True, "reason": "", **changes}


def folder(**changes: Any) -> dict[str, Any]:
    plain = {"dir": "/srv/site", "id": "00", "state": "in-sync", "root": "00", "files": 512, "bytes": 34_500_000}
    empty: dict[str, Any] = {
        "need_files": 0,
        "need_bytes": 0,
        "classes": [],
        "peers": [],
        "conflicts": 0,
        "problems": [],
    }
    return {**plain, **empty, **changes}


def report(*folders: dict[str, Any]) -> dict[str, Any]:
    node = {
        "name": "web1",
        "id": "00",
        "version": "0.1.0",
        "uptime_seconds": 11_530.5,
        "ready": True,
        "draining": False,
    }
    return {"node": node, "folders": list(folders)}


SYNCING = folder(
    state="syncing",
    need_files=200,
    need_bytes=12_000_000,
    classes=[
        {"class": "themes", "need_files": 0, "need_bytes": 0, "complete": True},
        {"class": "plugins", "need_files": 200, "need_bytes": 12_000_000, "complete": False},
        {
            "class": "uploads",
            "need_files": 0,
            "need_bytes": 0,
            "complete": False,
            "reason": "waiting for a settled peer",
        },
        {"class": "rest", "need_files": 0, "need_bytes": 0, "complete": False},
    ],
    peers=[
        peer("web2"),
        peer("web3", in_sync=False, reason="needs 3 files, 5 bytes", tier="read-only"),
        peer("web4", in_sync=False),
        peer("", connected=False, in_sync=False, tier="", reason="connection refused", address="10.0.0.9:55555"),
        peer("web5", connected=False, in_sync=False),
    ],
)

TEXT = """\
node web1: syncd 0.1.0, up 3 h 12 min
traffic: ready
folder /srv/site: syncing
  512 files, 34.5 MB; needs 200 files, 12.0 MB
  class themes: complete
  class plugins: needs 200 files, 12.0 MB
  class uploads: waiting for a settled peer
  class rest: not yet compared with a peer
  peer web2 (10.0.0.2:55555): connected, read-write, in sync
  peer web3 (10.0.0.2:55555): connected, read-only, needs 3 files, 5 bytes
  peer web4 (10.0.0.2:55555): connected, read-write, not in sync
  peer ? (10.0.0.9:55555): not connected: connection refused
  peer web5 (10.0.0.2:55555): not connected"""


def test_plain_text() -> None:
    assert render(report(SYNCING)) == TEXT


def test_whether_traffic_is_welcome() -> None:
    shown = report()
    shown["node"] |= {"ready": False, "reason": "waiting for a settled peer"}
    assert render(shown).splitlines()[1] == "traffic: not ready: waiting for a settled peer"
    shown["node"] |= {"draining": True, "reason": "draining: `syncd undrain` ends it"}
    assert render(shown).splitlines()[1] == "traffic: draining: `syncd undrain` ends it"
    line = render(report(folder(peers=[peer("web2", draining=True)]))).splitlines()[-1]
    assert line.endswith("in sync, draining")


def test_trouble_comes_with_what_to_do() -> None:
    problems = [{"path": "a.jpg", "operation": "read", "reason": "Permission denied"}]
    problems += [{"path": "b", "operation": "new", "reason": "?"}, {"path": "c", "operation": "read", "reason": "EIO"}]
    held = folder(state="held", reason="1200 deletions", conflicts=1, problems=problems, alarms=["clone"], files=1)
    lines = render(report(held)).splitlines()[2:]
    assert lines[0] == "folder /srv/site: held"
    assert lines[1] == "  1 file, 34.5 MB"
    assert lines[2] == "  reason: 1200 deletions"
    assert lines[3].startswith("  -> something unusual")
    assert lines[4] == "  1 conflict: see `syncd conflicts list`"
    assert lines[5:8] == [
        "  problem: a.jpg: read: Permission denied",
        "  problem: b: new: ?",
        "  problem: c: read: EIO",
    ]
    assert lines[8].startswith("  -> read: let the user of syncd read it")
    assert lines[9:] == ["  alarm: clone"]


def test_who_has_the_read_only_secret_and_whether_anybody_has_another() -> None:
    readers = folder(tier="read-only", fingerprint="ab12", state="waiting", peers=[peer("web2", tier="read-only")])
    lines = render(report(readers)).splitlines()
    assert lines[3] == "  512 files, 34.5 MB, read-only secret ab12"
    assert lines[4].startswith("  -> all nodes here have the read-only secret")
    for peers in ([], [peer("web2")], [peer("web2", tier="read-only", connected=False)]):
        assert "-> no peer with a complete copy" in render(report({**readers, "peers": peers}))


def test_what_a_new_index_found_is_told_from_nothing() -> None:
    new = folder(files=0, bytes=0, settled=False, uncounted=2, state="waiting", fingerprint="ab12")
    line = "  0 files, 0 B, 2 found here are not counted yet (this index is new and waits for a peer), secret ab12"
    assert render(report(new)).splitlines()[3] == line
    assert "1 found here is not" in render(report({**new, "uncounted": 1}))
    assert "counted" not in render(report({**new, "uncounted": 0}))
    assert "counted" not in render(report({**new, "settled": True}))


def test_a_webhook_that_is_not_told() -> None:
    webhook = {"host": "h\n", "waiting": 2, "lost": 1, "problem": "status 503"}
    lines = render({**report(), "webhook": webhook}).splitlines()
    assert lines[1] == "problem: webhook: h\\n: status 503, 2 events waiting"
    assert lines[2].startswith("-> look at the service there")
    assert lines[3].startswith("1 event did not reach the webhook")
    assert len(render({**report(), "webhook": {**webhook, "problem": "", "lost": 0}}).splitlines()) == 2


def test_another_secret_is_told_from_a_peer_that_is_away() -> None:
    waiting = folder(state="waiting", fingerprint="ab12", tier="read-write")
    away, other = peer("", connected=False, other_secret=False), peer("", connected=False, other_secret=True)
    for peers, advised in (
        ([away], "no peer with a complete copy"),
        ([away, other], "somebody answers there who has another secret"),
        ([other, peer("web2")], "no peer with a complete copy"),
    ):
        assert f"  -> {advised}" in render(report({**waiting, "peers": peers}))


def test_the_first_node_is_told_how_to_serve_alone() -> None:
    alone = folder(state="waiting", settled=True, classes=[
        {"class": "rest", "need_files": 0, "need_bytes": 0, "complete": False, "ready": False, "reason": "no peer yet"},
    ])  # fmt: skip
    assert "set `ready.alone_after`" in render(report(alone))
    ready = {**alone["classes"][0], "ready": True, "complete": True}
    for changed in ({"settled": False}, {"files": 0}, {"peers": [peer("web2")]}, {"classes": [ready]}):
        assert "set `ready.alone_after`" not in render(report({**alone, **changed})), changed


def test_many_problems_are_counted() -> None:
    problems = [{"path": str(n), "operation": "x", "reason": "y"} for n in range(25)]
    text = render(report(folder(problems=problems, conflicts=["a", "b"], problem_count=1000)))
    assert text.count("problem: ") == 20
    assert "and 980 more: syncd status --json" in text
    assert "2 conflicts" in text
    assert "and 5 more: " in render(report(folder(problems=problems)))


def test_names_of_others_cannot_command_a_terminal() -> None:
    evil = "\x1b]0;owned\x07\n\u202e\x9b"
    problems = [{"path": evil, "operation": evil, "reason": evil}]
    classes = [{"class": evil, "need_files": 0, "need_bytes": 0, "complete": False, "reason": evil}]
    bad = folder(
        dir=evil, state=evil, problems=problems, classes=classes, peers=[peer(evil, address=evil)], reason=evil
    )
    bad["alarms"] = [evil]
    quiet = folder(problems=[{"path": "a", "operation": "b", "reason": "c"}])
    assert len(render(report(bad)).splitlines()) == len(render(report(bad)).split("\n"))
    for text in (render(report(bad)), on_screen(report(bad, quiet), no_color=True)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (99_960, "100 kB"),
        (999_600, "1.0 MB"),
        (5e18, "5000 PB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert wording.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (86_460, "1 d 1 min")]
)
def test_spans(seconds: float, text: str) -> None:
    assert wording.span(seconds) == text


def on_screen(status: dict[str, Any], no_color: bool = False) -> str:
    screen = io.StringIO()
    console = Console(
        file=screen, width=150, force_terminal=not no_color, color_system=None if no_color else "standard"
    )
    status_live.show(status, console)
    return screen.getvalue()


def test_the_screen_tells_what_the_text_tells() -> None:
    problems = [{"path": "a", "operation": "read", "reason": "EIO"}]
    shown = on_screen(report({**SYNCING, "problems": problems, "conflicts": 2, "alarms": ["clone"]}), no_color=True)
    for line in TEXT.splitlines()[3:]:
        for part in line.strip().removeprefix("class ").replace("(", "").replace("):", ":").split(": ", 1):
            assert all(word in shown for word in part.split()), line
    for words in ("problem: a: read: EIO", "2 conflicts", "-> read: ", "alarm: clone", "web1", "/srv/site"):
        assert words in shown
    assert "\x1b[" in on_screen(report(SYNCING))


class Watched:
    """Statuses one after the other; then Ctrl-C, or a node that is gone."""

    def __init__(self, *reports: dict[str, Any], gone: bool = False) -> None:
        self.reports = list(reports)
        self.gone = gone
        self.now = 0.0

    def fetch(self) -> dict[str, Any]:
        if not self.reports:
            raise OperatorError("gone", os.EX_UNAVAILABLE)
        return self.reports.pop(0)

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds == status_live.INTERVAL
        self.now += seconds
        if not self.reports and not self.gone:
            raise KeyboardInterrupt

    def shown(self) -> str:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=120, color_system=None)
        status_live.watch(self.fetch, console, self.clock, self.pause)
        return screen.getvalue()


def test_the_live_view_tells_speed_and_time_left() -> None:
    reports = [report({**SYNCING, "need_bytes": left}) for left in (12_000_000, 9_000_000, 6_000_000)]
    shown = Watched(*reports, report(folder())).shown()
    assert "(3.0 MB/s, 3 s left)" in shown
    assert "(3.0 MB/s, 2 s left)" in shown
    assert "in-sync  512 files, 34.5 MB" in shown.rpartition("left")[2]


def test_the_live_view_ends_with_the_node() -> None:
    with pytest.raises(OperatorError, match="gone"):
        Watched(report(folder()), gone=True).shown()


def test_progress() -> None:
    progress = Progress()
    themes, plugins = (
        {"class": "a", "need_bytes": 80, "complete": False},
        {"class": "b", "need_bytes": 0, "complete": True},
    )
    seen = folder(need_bytes=80, classes=[themes, plugins])
    assert (progress.share(seen, themes), progress.speed(seen), progress.left(seen)) == (0.0, None, None)
    progress.see(report(seen), 0.0)
    assert (progress.share(seen, themes), progress.share(seen, plugins)) == (0.0, 1.0)
    less = folder(need_bytes=20, classes=[{**themes, "need_bytes": 20}, plugins])
    progress.see(report(less), 6.0)
    assert progress.share(less, less["classes"][0]) == 0.75
    assert (progress.speed(less), progress.left(less)) == (10.0, 2.0)
    progress.see(report(less), 12.0)
    assert progress.speed(less) is None, "nothing moved in the last ten seconds"
    told = {**themes, "bytes": 800}
    progress.see(report(folder(classes=[told])), 13.0)
    assert progress.share(folder(), told) == 0.9


def test_the_verb_off_a_terminal_is_plain_text(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/status", 200, report(SYNCING))
    for arguments in (("status",), ("status", "--once")):
        done = shell.run(*arguments, TERM="xterm")
        assert (done.stdout, done.returncode) == (TEXT + "\n", 0)


@pytest.mark.parametrize("colours", [{}, {"NO_COLOR": "1"}])
def test_the_verb_on_a_terminal(
    shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch, colours: dict[str, str]
) -> None:
    node.answer("GET /v1/status", 200, report(SYNCING))
    monkeypatch.setattr("syncd.cli.status._on_terminal", lambda: True)
    result = shell.call("status", "--once", TERM="xterm", FORCE_COLOR="1", **colours)
    assert result.exit_code == 0
    assert "syncing" in result.output
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", result.output)) is not bool(colours)


def test_the_verb_watches_until_interrupted(shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    node.answer("GET /v1/status", 200, report(SYNCING))
    monkeypatch.setattr("syncd.cli.status._on_terminal", lambda: True)
    monkeypatch.setattr("time.sleep", interrupt)
    result = shell.call("status")
    assert result.exit_code == 0
    assert len(node.asked) == 1


def test_what_the_operator_asked_for_is_shown_while_it_lasts() -> None:
    verifying = {"active": True, "files": 7, "bytes": 5_000_000, "damaged": 1}
    text = render(report(folder(verifying=verifying, prioritized=["/a", "b\n"])))
    assert "  verifying: 7 files, 5.0 MB of 34.5 MB, 1 damaged\n" in text
    assert "  goes first: /a, b\\n" in text
    assert "verifying" not in render(report(folder(verifying={**verifying, "active": False})))


def test_lag_is_shown_from_a_second_on() -> None:
    text = render(report(folder(peers=[peer("web2", in_sync=False, reason="syncing", lag_seconds=75.2)])))
    assert "connected, read-write, syncing, 1 min 15 s behind" in text
    assert "behind" not in render(report(folder(peers=[peer("web2", in_sync=False, lag_seconds=0.4)])))
