"""Which unit a path lies in, when one has arrived whole, and what it is to become."""

import pytest

from protocol.edit import Entry
from protocol.paths import to_key
from syncd.core.patterns import Patterns
from syncd.core.unit_plan import Turn, contents_wanted
from syncd.core.units import CHECKED, CHECKED_WHOLE, MOST_PATHS, PATIENCE, Arrivals, Units
from tests.core.bench import Author, Bench, directory, file, in_step

FOO = b"plugins/foo"


@pytest.mark.parametrize(
    ("lines", "path", "unit"),
    [
        (["/plugins/*"], b"plugins/foo", b"plugins/foo"),
        (["/plugins/*"], b"plugins/foo/inc/a.php", b"plugins/foo"),
        (["/plugins/*/"], b"plugins/foo/inc/a.php", b"plugins/foo"),
        (["/plugins/*"], b"plugins", None),
        (["/plugins/*"], b"other/plugins/foo/a", None),
        (["/plugins/"], b"plugins/foo/a", b"plugins"),
        (["/plugins/*", "/plugins/*/inc"], b"plugins/foo/inc/a", b"plugins/foo"),
        (["vendor"], b"a/vendor/b/vendor/c", b"a/vendor"),
        (["/plugins/*", "!/plugins/bar"], b"plugins/bar/a", None),
        ([], b"plugins/foo/a", None),
    ],
)
def test_the_unit_of_a_path(lines: list[str], path: bytes, unit: bytes | None) -> None:
    assert Units(Patterns(lines)).of(path) == unit


def test_units_among_keys() -> None:
    units = Units(Patterns(["/plugins/*"]))
    assert units.among(map(to_key, [b"plugins/a/x", b"plugins/a/y", b"plugins/b", b"z"])) == {
        b"plugins/a",
        b"plugins/b",
    }
    assert Units().none


def everything(_unit: bytes) -> bool:
    return True


def test_news_wait_until_a_peer_that_lacks_nothing_has_the_same() -> None:
    arrivals = Arrivals(0.0)
    assert arrivals.agreed(arrivals.mark())
    assert arrivals.is_whole(FOO, 1.0)  # nothing was heard of it
    arrivals.news([FOO], 2.0)
    mark = arrivals.mark()
    assert not arrivals.is_whole(FOO, 3.0)
    arrivals.news([FOO], 3.0)  # behind the mark: the peer may have more of it
    assert not arrivals.agreed(mark)
    assert not arrivals.is_whole(FOO, 4.0)
    assert arrivals.agreed(arrivals.mark())
    assert arrivals.is_whole(FOO, 4.0)


@pytest.mark.parametrize(("whole", "wait"), [(True, CHECKED_WHOLE), (False, CHECKED)])
def test_a_compared_range_counts_when_no_more_news_come(whole: bool, wait: float) -> None:
    arrivals = Arrivals(0.0)
    arrivals.agreed(0)
    arrivals.news([FOO, b"plugins/bar"], 10.0)
    arrivals.compared(lambda unit: unit == FOO, whole, 11.0)
    assert not arrivals.is_whole(FOO, 11.0 + wait - 0.01)
    assert arrivals.due(FOO) == 11.0 + wait
    assert arrivals.is_whole(FOO, 11.0 + wait)
    assert arrivals.due(FOO) is None
    assert not arrivals.is_whole(b"plugins/bar", 11.0 + wait)
    arrivals.news([FOO], 20.0)  # whatever was compared before
    assert not arrivals.is_whole(FOO, 20.0 + wait)
    assert arrivals.is_whole(FOO, 20.0 + PATIENCE)


def test_after_a_start_every_unit_waits_to_be_compared_once() -> None:
    arrivals = Arrivals(100.0)
    assert not arrivals.is_whole(FOO, 101.0)
    arrivals.compared(everything, True, 101.0)
    assert arrivals.is_whole(FOO, 102.0)
    assert arrivals.is_whole(FOO, 103.0)
    assert not arrivals.is_whole(b"plugins/bar", 103.0)
    assert arrivals.is_whole(b"plugins/bar", 100.0 + PATIENCE)


# ---- plans


def plan(bench: Bench, unit: bytes = FOO, held: bool = False):
    return bench.replica.plan_unit(unit, lambda _key: held)


def parts(bench: Bench) -> dict[bytes, tuple[Entry | None, bool]]:
    return {part.path: (part.want, part.needed) for part in plan(bench).parts}


def settled(entries: dict[bytes, Entry | None]) -> Bench:
    return in_step({b"plugins": directory(), FOO: directory(), **entries})


def test_a_unit_in_step_needs_nothing() -> None:
    assert plan(settled({FOO + b"/a": file(1)})).turn is Turn.NONE


def test_a_changed_unit_is_planned_with_what_stays() -> None:
    bench = settled({FOO + b"/a": file(1), FOO + b"/b": file(2), FOO + b"/c": file(3)})
    bench.receive(
        Author(1).edit(FOO + b"/a", file(4), bench.state(FOO + b"/a"), file(1)),
        Author(2).edit(FOO + b"/b", None, bench.state(FOO + b"/b"), file(2)),
        Author(3).edit(FOO + b"/d", file(4)),
    )
    assert plan(bench).turn is Turn.CHANGED
    assert parts(bench) == {
        FOO: (directory(), False),
        FOO + b"/a": (file(4), True),
        FOO + b"/b": (None, True),
        FOO + b"/c": (file(3), False),
        FOO + b"/d": (file(4), True),
    }
    assert contents_wanted(plan(bench)) == {file(4).content: 2}
    assert plan(bench, held=True).turn is Turn.SINGLY


def test_a_new_unit_and_one_that_goes() -> None:
    bench = in_step({b"plugins": directory()})
    author = Author(1)
    made, inner = author.edit(FOO, directory()), author.edit(FOO + b"/a", file(1))
    bench.receive(made, inner)
    assert plan(bench).turn is Turn.NEW
    bench.apply_all()
    author.counter += 10
    gone = author.edit(FOO, None, (made,), directory(), stamp=5_000)
    bench.receive(gone, author.edit(FOO + b"/a", None, (inner,), file(1), 5_001))
    assert plan(bench).turn is Turn.GONE


def test_a_file_in_the_place_of_a_unit_and_the_reverse_come_path_by_path() -> None:
    bench = in_step({b"plugins": directory(), FOO: file(1)})
    bench.receive(Author(1).edit(FOO, directory(), bench.state(FOO), file(1)), Author(1).edit(FOO + b"/a", file(2)))
    assert plan(bench).turn is Turn.SINGLY


def test_too_many_paths_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PATHS > 10_000
    monkeypatch.setattr("syncd.core.unit_plan.MOST_PATHS", 3)
    bench = settled({FOO + b"/a": file(1), FOO + b"/b": file(2)})
    bench.receive(Author(1).edit(FOO + b"/a", file(4), bench.state(FOO + b"/a"), file(1)))
    assert plan(bench).turn is Turn.CHANGED
    bench.receive(Author(2).edit(FOO + b"/c", file(4)))
    assert plan(bench).turn is Turn.SINGLY
