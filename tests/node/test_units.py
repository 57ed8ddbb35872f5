"""Units in folders inside this process: what an author changes is told at once, and shown at once elsewhere."""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol import limits
from protocol.keys import generate_secret
from syncd.core import units
from syncd.core.events import Settle
from syncd.node import gathering, telling, yard
from syncd.node.judging import Judging
from syncd.node.unit_looks import observe_unit
from syncd.store import unit_places
from syncd.store.applier import Job, Outcome, Result
from syncd.store.hasher import Hashed
from syncd.store.look import Stat
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, joined
from tests.lab.plugin import texts

FILES = 12
PLUGIN = "plugins/foo"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "QUIET", 0.15)
    monkeypatch.setattr(yard, "LINGER", 0.5)


def make(base: Path, secret: str, name: str, **options: object) -> Inside:
    return Inside(base / name, secret, atomic=("/plugins/*", "/themes/*"), **options)


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Inside, Inside]:
    secret = generate_secret(os.urandom(32))
    return make(tmp_path, secret, "one"), make(tmp_path, secret, "two")


def write(inside: Inside, version: int, files: int = FILES, extra: int = 0) -> None:
    """A version of the plugin, in place, file by file."""
    top = inside.tree / PLUGIN
    (top / "inc").mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (top / f"inc/{number}.php").write_text(f"{version}")
    (top / "foo.php").write_text(f"{version}")
    if extra:
        (top / "large.bin").write_bytes(version.to_bytes(4, "big") * (extra // 4))


def versions(top: Path) -> set[str]:
    """The versions in a plugin."""
    return {text.decode() for text in texts(top, ("foo.php", *(f"inc/{number}.php" for number in range(FILES))))}


async def test_a_new_unit_and_its_update(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    write(one, 1)
    async with joined(one, two):
        assert versions(two.tree / PLUGIN) == {"1"}
        write(one, 2)
        await agree(one, two)
        assert versions(two.tree / PLUGIN) == {"2"}


class Watcher:
    """Reads a plugin again and again, in a thread: opened once for each look, as a program does that stays in it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.seen: set[str] = set()
        self.wrong: list[object] = []
        self._over = False

    def work(self) -> None:
        while not self._over and not self.wrong:
            try:
                found = versions(self.top)
            except OSError as error:
                self.wrong.append(error)
                continue
            self.seen |= found
            if len(found) != 1:
                self.wrong.append(found)

    async def __aenter__(self) -> "Watcher":
        self._task = asyncio.create_task(asyncio.to_thread(self.work))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._over = True
        await self._task


def shipped(inside: Inside) -> bool:
    """Whether nothing waits in staging, and nothing displaced is still whole."""
    base = inside.tree.parent
    whole = [item for item in base.glob("**/archive/*") if item.is_dir()]
    return not whole and not list(base.glob("**/staging/*"))


def on_exchange(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], *, after: bool = False) -> None:
    """Have something happen in the last instant before the next exchange, or in the first one after it."""
    real, pending = unit_places.exchange, [act]

    def exchange(*arguments: object) -> None:
        acts = [pending.pop()] if pending else []
        for act in () if after else acts:
            act()
        real(*arguments)  # type: ignore[arg-type]
        for act in acts if after else ():
            act()

    monkeypatch.setattr(unit_places, "exchange", exchange)


async def test_nobody_sees_half_an_update(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    write(one, 0)
    async with joined(one, two):
        async with Watcher(two.tree / PLUGIN) as watcher:
            for version in range(1, 8):
                write(one, version, extra=300_000 * (version % 3))
                await agree(one, two)
        assert not watcher.wrong
        assert watcher.seen == {f"{version}" for version in range(8)}
        await two.reach(lambda: shipped(two))
        assert {b"0", b"1", b"6"} <= archived(two)


async def test_a_plugin_that_is_moved_away_and_then_moved_in_is_never_missing(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    write(one, 0)
    async with joined(one, two):
        async with Watcher(two.tree / PLUGIN) as watcher:
            for version in range(1, 5):
                new = one.tree.parent / "new"
                shutil.copytree(one.tree / PLUGIN, new)
                for file in new.rglob("*.php"):
                    file.write_text(f"{version}")
                (new / f"only-{version}.php").write_text("x")
                (one.tree / PLUGIN).rename(one.tree.parent / f"old-{version}")
                new.rename(one.tree / PLUGIN)
                await agree(one, two)
        assert not watcher.wrong
        assert watcher.seen == {f"{version}" for version in range(5)}


async def test_what_is_unchanged_is_not_copied_and_a_chmod_copies_one_file(pair: tuple[Inside, Inside]) -> None:
    one, two = pair
    write(one, 1, extra=400_000)
    async with joined(one, two):
        before = {path: path.stat().st_ino for path in (two.tree / PLUGIN).rglob("*")}
        (one.tree / PLUGIN / "foo.php").chmod(0o600)
        await agree(one, two)
        after = {path: path.stat().st_ino for path in (two.tree / PLUGIN).rglob("*")}
        assert (two.tree / PLUGIN / "foo.php").stat().st_mode & 0o777 == 0o600
        files = {path for path in after if path.is_file()}
        assert {path for path in files if before[path] != after[path]} == {two.tree / PLUGIN / "foo.php"}
        await two.reach(lambda: shipped(two))
        assert {path.stat().st_nlink for path in files} == {1}
        root = two.root
        await agree(one, two)
        assert two.root == root


@pytest.mark.parametrize(
    "what", ["replaced", "in place", "unchanged replaced", "unchanged in place", "added", "removed"]
)
async def test_an_edit_in_the_instant_of_the_exchange_is_kept(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    one, two = pair
    write(one, 1)
    (one.tree / PLUGIN / "same.php").write_text("same")
    top = two.tree / PLUGIN

    def edit() -> None:
        name = "same.php" if what.startswith("unchanged") else "foo.php"
        if what.endswith("replaced"):
            (two.tree.parent / "fresh").write_text("edited")
            (two.tree.parent / "fresh").rename(top / name)
        elif what.endswith("in place"):
            (top / name).write_text("edited")
        elif what == "added":
            (top / "deep/er").mkdir(parents=True)
            (top / "deep/er/added.php").write_text("edited")
        else:
            (top / "same.php").unlink()

    async with joined(one, two):
        on_exchange(monkeypatch, edit)
        write(one, 2)
        await agree(one, two)
        name = {"added": "deep/er/added.php"}.get(what, "same.php" if what.startswith("unchanged") else "foo.php")
        if what == "removed":
            assert not (one.tree / PLUGIN / "same.php").exists()
        else:
            assert (one.tree / PLUGIN / name).read_text() == "edited"
        assert (one.tree / PLUGIN / "inc/3.php").read_text() == "2"


@pytest.mark.parametrize("what", ["replaced", "in place", "removed", "mode"])
async def test_what_is_done_right_after_the_exchange_is_done_to_the_new_unit(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It is no conflict with it, and what was removed does not come back."""
    one, two = pair
    write(one, 1)
    file = two.tree / PLUGIN / "foo.php"

    def edit() -> None:
        assert file.read_text() == "2"
        if what == "replaced":
            (two.tree.parent / "fresh").write_text("edited")
            (two.tree.parent / "fresh").rename(file)
        elif what == "in place":
            file.write_text("edited")
        elif what == "removed":
            file.unlink()
        else:
            file.chmod(0o600)

    async with joined(one, two):
        on_exchange(monkeypatch, edit, after=True)
        write(one, 2)
        await agree(one, two)
        here = one.tree / PLUGIN / "foo.php"
        if what == "removed":
            assert not here.exists()
        elif what == "mode":
            assert (here.read_text(), here.stat().st_mode & 0o777) == ("2", 0o600)
        else:
            assert here.read_text() == "edited"
        assert one.folder.standing.facts.totals.conflicts == 0


async def test_ignored_entries_stay(tmp_path: Path) -> None:
    secret = generate_secret(os.urandom(32))
    one, two = make(tmp_path, secret, "one"), make(tmp_path, secret, "two", ignore=("*.log", "cache"))
    write(one, 1)
    async with joined(one, two):
        top = two.tree / PLUGIN
        (top / "cache/deep").mkdir(parents=True)
        (top / "cache/deep/x").write_text("x")
        (top / "inc/debug.log").write_text("log")
        write(one, 2)
        await two.reach(lambda: versions(top) == {"2"})
        assert ((top / "cache/deep/x").read_text(), (top / "inc/debug.log").read_text()) == ("x", "log")


async def test_where_nothing_can_be_exchanged_the_main_file_comes_last(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(*_: object) -> None:
        raise OSError(errno.EXDEV, "in a lower layer")

    order: list[bytes] = []
    one, two = pair
    write(one, 1)
    (one.tree / PLUGIN / "gone.php").write_text("gone")
    async with joined(one, two):
        monkeypatch.setattr(unit_places, "exchange", exchange)
        apply = two.shop.ledger.tree.applier.apply

        def applied(jobs: list[Job], *, durable: bool) -> list[Result]:
            results = apply(jobs, durable=durable)
            order.extend(result.path for result in results if result.outcome is Outcome.DONE)
            return results

        monkeypatch.setattr(two.shop.ledger.tree.applier, "apply", applied)
        write(one, 2, extra=200_000)
        (one.tree / PLUGIN / "gone.php").unlink()
        await agree(one, two)
        assert versions(two.tree / PLUGIN) == {"2"}
        top = PLUGIN.encode()
        assert order.index(top + b"/inc/3.php") < order.index(top + b"/foo.php") < order.index(top + b"/gone.php")


async def test_a_unit_that_is_deleted_goes_whole_after_a_while(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "REPLACEMENT", 0.3)
    one, two = pair
    write(one, 1)
    write_theme = one.tree / "themes/t/style.css"
    write_theme.parent.mkdir(parents=True)
    write_theme.write_text("css")
    async with joined(one, two):
        shutil.rmtree(one.tree / PLUGIN)
        await agree(one, two)
        assert not (two.tree / PLUGIN).exists()
        assert (two.tree / "themes/t/style.css").read_text() == "css"
        await two.reach(lambda: shipped(two))
        assert b"1" in archived(two)


async def test_a_unit_whose_update_is_left_half_told_waits_for_the_rest(
    pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message of two arrives; nothing is shown before the other one was fetched."""
    monkeypatch.setattr(limits, "MAX_INLINE", 900)
    one, two = pair
    write(one, 1)
    async with joined(one, two):
        push = telling.push_messages
        monkeypatch.setattr(telling, "push_messages", lambda report: push(report)[:1])
        async with Watcher(two.tree / PLUGIN) as watcher:
            write(one, 2)
            await agree(one, two)
        assert not watcher.wrong
        assert watcher.seen == {"1", "2"}


async def test_a_fresh_node_shows_a_plugin_whole(pair: tuple[Inside, Inside], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its small files come along with the records, the large one later."""
    one, two = pair
    write(one, 1, extra=2_000_000)
    (one.tree / "uploads").mkdir()
    (one.tree / "uploads/a.jpg").write_text("a")
    found: list[set[str]] = []
    place = unit_places.move_to_free_name

    def placed(*arguments: object) -> None:
        place(*arguments)  # type: ignore[arg-type]
        found.append(versions(two.tree / PLUGIN))
        assert (two.tree / PLUGIN / "large.bin").stat().st_size == 2_000_000

    monkeypatch.setattr(unit_places, "move_to_free_name", placed)
    async with joined(one, two):
        pass
    assert found == [{"1"}]


def with_a_unit(base: Path) -> Inside:
    """A node that has published one, and something else."""
    inside = make(base, generate_secret(os.urandom(32)), "one")
    (inside.tree / "other").write_bytes(b"other")
    write(inside, 1)
    list(inside.shop.ledger.scan(b"", lambda _: None))
    inside.shop.ledger.handle(Settle(b""))
    return inside


@pytest.mark.parametrize("path", [f"{PLUGIN}/inc/0.php", f"{PLUGIN}/foo.php", PLUGIN])
async def test_a_unit_that_is_back_while_its_end_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nothing of it is published but all: some paths were looked at before it came, others after that."""
    inside = with_a_unit(tmp_path)
    ledger, judging = inside.shop.ledger, Judging(inside.shop.ledger)
    shutil.rmtree(inside.tree / PLUGIN)
    assert observe_unit(ledger, PLUGIN.encode(), lambda _: None, True, ledger.now()) is not None
    look, pending = ledger.observe_one, [path.encode()]

    def observe_one(looked_at: bytes, *arguments: object) -> None:
        if [looked_at] == pending:
            pending.clear()
            write(inside, 2)
        look(looked_at, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "observe_one", observe_one)
    reports = list(judging.judge(first_look=True))
    assert not pending
    assert [push for report in reports for push in report.pushes] == []
    assert [report.units for report in reports] == [{PLUGIN.encode()}]
    inside.shop.close()


def remove_all(inside: Inside) -> None:
    shutil.rmtree(inside.tree / PLUGIN)


def remove_one(inside: Inside) -> None:
    (inside.tree / PLUGIN / "inc/0.php").unlink()


def edit_one(inside: Inside) -> None:
    (inside.tree / PLUGIN / "inc/0.php").write_text("edited")


def add_one(inside: Inside) -> None:
    (inside.tree / PLUGIN / "added.php").write_text("added")


@pytest.mark.parametrize("act", [remove_all, remove_one, edit_one, add_one])
async def test_a_unit_that_changes_while_it_is_looked_at_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Inside], None]
) -> None:
    """Of that change half may have been seen: here it comes when the last of all files is read."""
    inside = with_a_unit(tmp_path)
    ledger = inside.shop.ledger
    write(inside, 2)
    later = ledger.now() + 10**10
    read, pending = ledger.tree.hasher.hash, [act]

    def hash_(path: bytes, stat: Stat) -> Hashed:
        hashed = read(path, stat)
        if path.endswith(b"inc/9.php") and pending:
            pending.pop()(inside)
        return hashed

    monkeypatch.setattr(ledger.tree.hasher, "hash", hash_)
    assert observe_unit(ledger, PLUGIN.encode(), lambda _: None, False, later) is None
    assert not pending
    report = observe_unit(ledger, PLUGIN.encode(), lambda _: None, False, later)
    assert report is not None
    assert len(report.pushes) == {remove_all: 0, remove_one: FILES + 1, edit_one: FILES + 1, add_one: FILES + 2}[act]
    inside.shop.close()
