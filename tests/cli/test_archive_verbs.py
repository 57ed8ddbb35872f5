"""`syncd conflicts` and `syncd archive`, against a node that says what a test wants."""

import os
import stat
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_node import FakeNode

VERSION = {
    "version": 1, "kind": "file", "size": 1_500, "written_ns": 1_700_000_000 * 10**9, "mtime_ns": 0, "target": "",
    "author": "web\x1b[2J", "node": "00" * 16, "actor": "11" * 8, "content": "22" * 32, "here": False,
    "copy": "",
}  # fmt: skip
CONFLICT = {
    "folder": "/site", "path": "uploads/a\nb", "shown": {"kind": "file", "size": 12, "mtime_ns": 0, "content": ""},
    "versions": [
        VERSION,
        {**VERSION, "version": 2, "kind": "link", "target": "to", "author": "", "here": True, "copy": "a\nc"},
    ],
}  # fmt: skip
ITEM = {
    "folder": "/site", "id": "ab" * 16, "path": "f", "kind": "file", "size": 10, "mtime_ns": 0,
    "archived_ns": 1_700_000_000 * 10**9, "reason": "deleted", "content": "",
}  # fmt: skip
ID = "ab" * 16


def test_conflicts_are_listed_without_control_characters(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/conflicts", 200, {"conflicts": [CONFLICT]})
    lines = shell.call("conflicts", "list", TZ="UTC").output.splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    assert len(lines) == 3
    assert lines[0].endswith(": file of 12 B")
    assert lines[1].startswith("  1: 1.5 kB, by web")
    assert lines[1].endswith("2023-11-14 22:13:20, its bytes are not here yet")
    assert lines[2].startswith("  2: link to to, by node 00000000, ")
    assert lines[2].endswith("22:13:20, copy: a\\nc")
    node.answer("GET /v1/conflicts", 200, {"conflicts": []})
    assert shell.call("conflicts", "list").output == "no conflicts\n"
    assert '"conflicts": []' in shell.call("conflicts", "list", "--json").output


def test_what_was_displaced_is_listed(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/archive", 200, {"items": [ITEM, {**ITEM, "path": "", "kind": "link"}]})
    lines = shell.call("archive", "list").output
    assert f"{ID}  " in lines
    assert "(not known where it was)" in lines
    node.answer("GET /v1/archive", 200, {"items": []})
    assert shell.call("archive", "list", "x").output == "nothing is in the archive of what was at x\n"
    assert node.asked[-1] == ("GET /v1/archive", {"path": b"x".hex()})


@pytest.mark.parametrize(
    ("arguments", "request_", "query", "said"),
    [
        (
            ("conflicts", "restore", "d/f"),
            "POST /v1/conflicts/restore",
            {"path": b"d/f".hex(), "version": "1"},
            "resto",
        ),
        (("conflicts", "restore", "f", "3"), "POST /v1/conflicts/restore", {"path": b"f".hex(), "version": "3"}, "re"),
        (("conflicts", "dismiss", "f"), "POST /v1/conflicts/dismiss", {"path": b"f".hex()}, "dismissed: f"),
        (("archive", "restore", "f"), "POST /v1/archive/restore", {"path": b"f".hex()}, "restored: f"),
        (("archive", "restore", ID), "POST /v1/archive/restore", {"id": ID.encode().hex()}, "restored: f"),
    ],
)
def test_decisions(
    shell: Shell, node: FakeNode, arguments: tuple[str, ...], request_: str, query: dict[str, str], said: str
) -> None:
    node.answer(request_, 200, {"path": "f", "applied": True})
    assert shell.call(*arguments).output.startswith(said)
    assert node.asked == [(request_, query)]
    node.answer(request_, 200, {"path": "f", "applied": False})
    assert "does not hold it yet" in shell.call(*arguments).output
    node.answer(request_, 409, {"error": "it is not so"})
    result = shell.call(*arguments)
    assert (result.output, result.exit_code) == ("syncd: it is not so\n", os.EX_USAGE)


@pytest.mark.parametrize("verb", ["conflicts", "archive"])
def test_what_is_copied_out_replaces_nothing(
    shell: Shell, node: FakeNode, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    data = os.urandom(3 << 20)

    def fetch(self: Any, path: str, query: dict[str, str], write: Any) -> dict[str, str]:
        assert path == f"/v1/{verb}/content"
        write(data)
        return {"X-Mode": "4640", "X-Mtime": "1700000000123456789"}

    monkeypatch.setattr("syncd.cli.client.Client.fetch", fetch)
    target = shell.root / "out"
    assert shell.call(verb, "restore", "f", "--to", str(target)).output == f"copied to {target}\n"
    status = target.stat()
    assert (target.read_bytes(), stat.S_IMODE(status.st_mode)) == (data, 0o640)
    assert status.st_mtime_ns == 1_700_000_000_123_456_789
    again = shell.call(verb, "restore", "f", "--to", str(target))
    assert again.exit_code == os.EX_CANTCREAT
    assert "is not overwritten" in again.output


def test_a_copy_that_fails_leaves_nothing(shell: Shell, node: FakeNode) -> None:
    node.answer("GET /v1/archive/content", 409, {"error": "it is not in the archive any more"})
    result = shell.call("archive", "restore", "f", "--to", "out")
    assert (result.output, result.exit_code) == ("syncd: it is not in the archive any more\n", os.EX_USAGE)
    assert not (shell.root / "out").exists()
    node.answer("GET /v1/archive/content", 200, b"bytes without a mode")
    assert shell.call("archive", "restore", "f", "--to", "out").exit_code == os.EX_UNAVAILABLE
    assert not (shell.root / "out").exists()
