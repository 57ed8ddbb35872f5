"""Commands that run when files from peers are in place."""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from protocol.keys import generate_secret
from syncd.config.settings import Hook
from syncd.core import units
from syncd.node import hooks
from tests.lab.cluster import await_condition
from tests.lab.inside import Inside

SCRIPT = """#!/bin/sh
n=$(ls "$1" | wc -l)
cat >"$1/.new"
env >"$1.env"
mv "$1/.new" "$1/$n"
"""


class Place:
    """A holder, a node with a hook, and what the hook was told."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.secret = generate_secret(secrets.token_bytes(32))
        self.runs = base / "runs"
        self.runs.mkdir()
        self.script = base / "hook.sh"
        self.write(SCRIPT)

    def write(self, text: str) -> None:
        self.script.write_text(text)
        self.script.chmod(0o755)

    def hook(self, **changes: Any) -> Hook:
        plain = Hook(("*.php", "/themes/"), (str(self.script), str(self.runs)), quiet=0.5, timeout=60.0, retries=0)
        values = {name: getattr(plain, name) for name in plain.__slots__}
        return Hook(**{**values, **changes})

    def holder(self, **options: Any) -> Inside:
        return Inside(self.base / "holder", self.secret, **options)

    def node(self, atomic: tuple[str, ...] = (), **changes: Any) -> Inside:
        return Inside(self.base / "node", self.secret, on_applied=(self.hook(**changes),), atomic=atomic)

    def told(self) -> list[set[bytes]]:
        """The paths of each run."""
        files = sorted((path for path in self.runs.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        return [set(path.read_bytes().split(b"\0")) - {b""} for path in files]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def theme(tree: Path, version: str) -> set[bytes]:
    """A theme of 323 files; their paths."""
    paths = set()
    for number in range(323):
        path = tree / f"themes/new/{number % 9}/file {number}\n.php"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{version} {number}")
        paths.add(os.fsencode(path.relative_to(tree)))
    return paths


def status(node: Inside) -> dict[str, Any]:
    return node.folder.hooks.status()[0]


async def test_once_for_a_theme_and_nothing_for_the_rest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WP_SECRET", "hidden")
    holder, node = place.holder(), place.node()
    (holder.tree / "index.html").write_text("of no interest")
    async with holder.running(), node.running(settled=False):
        await node.join(holder)
        await node.reach(lambda: node.in_sync)
        assert status(node) == {"command": f"{place.script} {place.runs}", "pending": 0, "last": None}
        paths = theme(holder.tree, "one")
        await node.reach(lambda: status(node)["last"] is not None)
        await node.reach(lambda: not status(node)["pending"])
        (told,) = place.told()
        assert paths <= told
        environment = dict(line.split("=", 1) for line in (place.base / "runs.env").read_text().splitlines())
        assert environment["SYNCD_FOLDER"] == str(node.tree)
        assert environment["SYNCD_PATHS"] == "listed"
        assert environment.keys() <= {"PATH", "LANG", "SYNCD_FOLDER", "SYNCD_PATHS", "PWD", "OLDPWD", "SHLVL", "_"}

        (node.tree / "themes/own.php").write_text("an edit here is not applied here")
        await holder.reach(lambda: holder.in_sync and (holder.tree / "themes/own.php").exists())
        (holder.tree / "themes/new/0/file 0\n.php").unlink()
        await node.reach(lambda: len(place.told()) == 2)
        assert place.told()[1] == {b"themes/new/0/file 0\n.php"}, "what was removed counts"
    assert status(node)["last"]["reason"] == ""


async def test_once_for_a_unit_that_changes_as_a_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pause so short that files which came one after the other would be told one after the other."""
    monkeypatch.setattr(units, "QUIET", 0.15)
    atomic = ("/themes/*",)
    holder, node = place.holder(atomic=atomic), place.node(atomic, quiet=0.0)
    (holder.tree / "index.html").write_text("of no interest")
    async with holder.running(), node.running(settled=False):
        await node.join(holder)
        await node.reach(lambda: node.in_sync)
        for number, version in enumerate(("one", "two"), 1):
            paths = theme(holder.tree, version)
            await node.reach(lambda number=number: len(place.told()) >= number)  # type: ignore[misc]
            await node.reach(lambda: not status(node)["pending"] and node.in_sync)
            assert len(place.told()) == number
            assert {path for path in place.told()[-1] if path.endswith(b".php")} == paths


async def test_what_is_pending_survives(place: Place) -> None:
    holder, node = place.holder(), place.node(quiet=3_600.0)
    (holder.tree / "a.php").write_text("<?php")
    async with holder.running():
        async with node.running(settled=False):
            await node.join(holder)
            await node.reach(lambda: node.in_sync and bool(status(node)["pending"]))
        assert place.told() == []
        again = place.node()
        async with again.running():
            await again.reach(lambda: status(again)["last"] is not None and not status(again)["pending"])
        assert place.told() == [{b"a.php"}]
        third = place.node()
        assert status(third)["pending"] == 0, "what was told is told once"
        third.shop.close()


async def test_a_command_that_fails_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "FIRST_PAUSE", 0.01)
    place.write("#!/bin/sh\necho 'php-fpm: connection\trefused' >&2\nexit 3\n")
    holder, node = place.holder(), place.node(retries=2)
    (holder.tree / "a.php").write_text("<?php")
    async with holder.running(), node.running(settled=False):
        await node.join(holder)
        await node.reach(lambda: bool(node.folder.hooks.problems()))
        (problem,) = node.folder.hooks.problems()
        assert problem.operation == "hook"
        assert problem.reason == "exit code 3: php-fpm: connection\\x09refused"
        assert status(node)["pending"] == 1
        place.write(SCRIPT)
        (holder.tree / "b.php").write_text("<?php")
        await node.reach(lambda: not node.folder.hooks.problems())
    assert {b"a.php", b"b.php"} in place.told() or {b"a.php"} in place.told()


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(place: Place) -> None:
    place.write('#!/bin/sh\nsleep 1000 &\necho $! >"$1/child"\nwait\n')
    holder, node = place.holder(), place.node(timeout=1.0)
    (holder.tree / "a.php").write_text("<?php")
    async with holder.running(), node.running(settled=False):
        await node.join(holder)
        await node.reach(lambda: bool(node.folder.hooks.problems()))
        assert node.folder.hooks.problems()[0].reason == "did not end within 1 s and was killed"
        child = int((place.runs / "child").read_text())
        await asyncio.to_thread(await_condition, lambda: not _lives(child), "what it started lives on")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_no_such_command(place: Place) -> None:
    place.script.unlink()
    holder, node = place.holder(), place.node()
    (holder.tree / "a.php").write_text("<?php")
    async with holder.running(), node.running(settled=False):
        await node.join(holder)
        await node.reach(lambda: bool(node.folder.hooks.problems()))
        assert node.folder.hooks.problems()[0].reason == "No such file or directory"
