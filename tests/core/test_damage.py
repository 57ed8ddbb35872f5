"""After an unclean stop: what is taken for damage, what stays somebody's edit, and when anything is published."""

import pytest

from protocol.edit import Entry
from protocol.paths import to_key
from protocol.record import Kind
from syncd.core.damage import SIGN_OF_LIFE, WINDOW, Crash, Sign, damage
from syncd.core.events import (
    Alive,
    Applied,
    Effects,
    Observation,
    Observed,
    Reserve,
    Scanned,
    Settle,
    Started,
    Stopped,
    Trusted,
)
from syncd.core.index import Disk
from tests.core.bench import Author, Bench, directory, file, link

LAST = 1_000 * WINDOW  # ns: the last sign of life
BEFORE = LAST - 10  # when what was known was written
START = LAST + WINDOW // 2
CRASH = Crash(LAST, LAST, START, False)
POWER = CRASH._replace(machine=True)
WHOLE = Disk(file(100), 7, BEFORE)
OLDER = file(50).content
INTACT = Sign(1, None)


def left(size: int, ctime: int = BEFORE, inode: int = 7) -> Disk:
    """What is left of a file of 100 bytes."""
    entry = Entry(Kind.FILE, b"left".ljust(32, b"%d" % (size % 10)), size, 0o644, 1, b"")
    return Disk(entry, inode, ctime)


@pytest.mark.parametrize(
    ("crash", "disk", "sign", "what"),
    [
        (CRASH, left(0), Sign(0, None), "empty"),
        (CRASH, left(0, LAST + 1, 8), Sign(0, None), "empty"),
        (CRASH, left(100), Sign(0, None), "full of zeros"),
        (CRASH, left(100, START), Sign(0, None), "full of zeros"),
        (CRASH, left(100, START + 1), Sign(0, None), None),
        (CRASH._replace(started=START + WINDOW), left(0, LAST + WINDOW), Sign(0, None), "empty"),
        (CRASH._replace(started=START + WINDOW), left(0, LAST + WINDOW + 1), Sign(0, None), None),
        (CRASH, left(60, LAST + 1), Sign(60, True), "cut short"),
        (CRASH, left(100, LAST + 1), Sign(60, True), "cut short"),
        (CRASH, left(60, LAST + 1), Sign(60, False), None),
        (CRASH, left(120, LAST + 1), Sign(120, True), None),
        (CRASH, left(60), Sign(60, None), "cut short"),
        (CRASH, left(60, inode=8), Sign(60, None), None),
        (CRASH, left(60, BEFORE + 1), Sign(60, None), None),
        (CRASH, left(100), Sign(100, None), None),
        (CRASH, Disk(file(50), 6, BEFORE - 1), Sign(50, False), None),
        (POWER, Disk(file(50), 6, BEFORE - 1), Sign(50, False), "an older version"),
        (POWER, Disk(file(50), 6, BEFORE + 1), Sign(50, False), None),
        (POWER, Disk(file(51), 6, BEFORE - 1), Sign(51, False), None),
        (POWER, WHOLE, INTACT, None),
        (CRASH, None, INTACT, None),
        (POWER, None, INTACT, "gone"),
        (POWER._replace(first=BEFORE + WINDOW + 1), None, INTACT, None),
        (POWER, Disk(directory(), 7, 0), INTACT, None),
        (POWER, Disk(link(b"x"), 7, BEFORE), INTACT, None),
    ],
)
def test_what_is_damage(crash: Crash, disk: Disk | None, sign: Sign, what: str | None) -> None:
    assert damage(crash, WHOLE, WHOLE.entry, {OLDER}, disk, sign) == what


@pytest.mark.parametrize(
    ("crash", "before", "ctime", "what"),
    [
        (POWER, None, BEFORE, "an older version"),
        (POWER, Disk(file(40), 5, BEFORE - 9), BEFORE, "an older version"),
        (POWER, WHOLE, BEFORE + 1, None),
        (POWER, None, START + 1, None),
        (POWER, None, BEFORE - WINDOW, None),
        (CRASH, None, BEFORE, None),
    ],
)
def test_a_version_that_had_been_placed_and_forgotten(
    crash: Crash, before: Disk | None, ctime: int, what: str | None
) -> None:
    """The index lost its last commits, the tree did not, and peers told of a newer version since."""
    found = Disk(file(50), 6, ctime)
    assert damage(crash, before, WHOLE.entry, {OLDER}, found, INTACT) == what


@pytest.mark.parametrize("found", [file(50), link(b"older")])
@pytest.mark.parametrize("want", [link(b"newer"), directory(), file(100)])
@pytest.mark.parametrize("before", [None, link(b"before"), file(0)._replace(content=b"e" * 32)])
def test_an_older_version_in_the_place_of_something_of_another_kind(
    found: Entry, want: Entry, before: Entry | None
) -> None:
    seen = None if before is None else Disk(before, 5, BEFORE - 9)
    for crash, known, what in (
        (POWER, {found.content}, "an older version"),
        (POWER, (), None),
        (CRASH, {found.content}, None),
    ):
        assert damage(crash, seen, want, known, Disk(found, 6, BEFORE), INTACT) == what


def test_what_was_not_a_file_with_bytes_cannot_have_lost_them() -> None:
    empty = left(0)
    assert damage(POWER, None, None, (), empty, Sign(0, None)) is None
    assert damage(POWER, Disk(file(0), 7, BEFORE), file(0), (), empty, Sign(0, None)) is None
    assert damage(POWER, Disk(link(b"x"), 7, BEFORE), None, (), empty, Sign(0, None)) is None
    assert damage(POWER, Disk(directory(), 7, BEFORE), None, (), None, INTACT) is None
    assert damage(POWER, None, None, (), None, INTACT) is None
    assert damage(CRASH, None, file(100), (), empty, Sign(0, None)) == "empty", "placed, but not seen yet"


# ---- the replica


def started(*, clean: bool = False, boot: bytes = b"boot", files: dict[bytes, Entry] | None = None) -> Bench:
    """A bench whose node ran, published some files, stopped and started again."""
    bench = Bench()
    bench.handle(Started(b"boot"), LAST - WINDOW)
    seen = files or {b"f": file(100), b"g": file(100)}
    bench.handle(Observed([Observation(path, Disk(entry, 7, BEFORE)) for path, entry in seen.items()]), LAST)
    if clean:
        bench.handle(Stopped(), LAST)
    start_again(bench, boot, START)
    return bench


def start_again(bench: Bench, boot: bytes, now: int) -> None:
    bench.open()
    bench.handle(Started(boot), now)
    bench.handle(Reserve(), now)


def find(bench: Bench, path: bytes, disk: Disk | None, sign: Sign = INTACT) -> Effects:
    return bench.handle(Observed([Observation(path, disk)], {path: sign}), START + 1)


def test_after_a_clean_stop_nothing_is_in_doubt() -> None:
    bench = started(clean=True)
    assert not bench.replica.cautious
    assert not bench.replica.doubtful
    assert bench.said(find(bench, b"f", left(0), Sign(0, None))) == [(Kind.FILE, b"f")]


def test_nothing_is_published_before_a_peer_has_answered() -> None:
    bench = started()
    assert bench.replica.cautious
    before = bench.row(b"f")
    assert find(bench, b"f", Disk(file(3), 8, START)).published == []
    assert bench.row(b"f") == before
    bench.handle(Trusted())
    assert not bench.replica.cautious
    assert bench.said(find(bench, b"f", Disk(file(3), 8, START))) == [(Kind.FILE, b"f")]


def test_damage_is_needed_again_and_never_published() -> None:
    bench = started()
    bench.handle(Trusted())
    effects = find(bench, b"f", left(0), Sign(0, None))
    assert effects.published == []
    assert effects.needs
    ((path, operation, reason),) = effects.damaged
    assert (path, operation) == (b"f", "damaged")
    assert "empty" in reason
    assert bench.plan() == [(b"f", file(100))]
    assert bench.replica.plan([to_key(b"f")])[0].expect == left(0)
    assert find(bench, b"f", left(0), Sign(0, None)).damaged == [], "it is told once"
    bench.handle(Applied([Observation(b"f", Disk(file(100), 9, START))]))
    assert bench.needs() == []


def test_a_user_may_edit_what_is_damaged() -> None:
    bench = started()
    bench.handle(Trusted())
    find(bench, b"f", left(0), Sign(0, None))
    assert bench.said(find(bench, b"f", Disk(file(5), 9, START + 5))) == [(Kind.FILE, b"f")]


def test_doubt_ends_with_the_scan_and_outlives_other_stops() -> None:
    bench = started()
    assert bench.replica.doubtful
    bench.handle(Stopped(), START + 1)
    start_again(bench, b"boot", START + 2)
    assert bench.replica.doubtful, "the scan that was to clear it up did not end"
    assert not bench.replica.cautious
    bench.handle(Scanned())
    assert not bench.replica.doubtful
    bench.handle(Stopped(), START + 3)
    start_again(bench, b"boot", START + 4)
    assert not bench.replica.doubtful


def test_of_two_crashes_the_first_counts() -> None:
    """What was placed before the first one may have been taken back by it; later signs of life say nothing of that."""
    bench = started(boot=b"another")
    bench.handle(Trusted())
    bench.handle(Alive(), START + 10 * WINDOW)
    start_again(bench, b"another", START + 11 * WINDOW)
    bench.handle(Trusted())
    assert [problem.path for problem in find(bench, b"f", None).damaged] == [b"f"]
    assert find(bench, b"f", None).published == []


def test_only_a_machine_that_went_down_takes_renames_back() -> None:
    bench = started()
    bench.handle(Trusted())
    assert bench.said(find(bench, b"f", None)) == [(Kind.DELETE, b"f")]


def test_a_read_only_node_reports_damage_too() -> None:
    bench = Bench(read_only=True)
    author = Author(1)
    bench.receive(author.edit(b"f", file(100)))
    bench.handle(Started(b"boot"), LAST)
    bench.handle(Applied([Observation(b"f", Disk(file(100), 7, BEFORE))]), LAST)
    start_again(bench, b"boot", START)
    bench.handle(Trusted())
    effects = find(bench, b"f", left(0), Sign(0, None))
    assert (len(effects.damaged), effects.alarms) == (1, [])
    assert bench.plan() == [(b"f", file(100))]


def test_what_a_fresh_index_had_placed_and_a_power_cut_took_is_no_deletion() -> None:
    """Nor after it is settled: it is seen to be gone at once, and needed."""
    bench = Bench(fresh=True)
    bench.handle(Started(b"boot"), LAST)
    bench.receive(Author(1).edit(b"f", file(100)))
    bench.handle(Applied([Observation(b"f", Disk(file(100), 7, BEFORE))]), LAST)
    start_again(bench, b"another boot", START)
    bench.handle(Trusted())
    assert find(bench, b"f", None).published == []
    bench.handle(Scanned())
    assert bench.handle(Settle(b"")).published == []
    assert find(bench, b"f", None).published == []
    assert bench.plan() == [(b"f", file(100))]


def test_signs_of_life_are_few() -> None:
    bench = Bench()
    bench.handle(Reserve())
    assert bench.index.meta("alive") is None, "nothing is written before the start"
    bench.handle(Started(b"boot"), LAST)
    first = bench.index.meta("alive")
    bench.handle(Alive(), LAST + SIGN_OF_LIFE - 1)
    assert bench.index.meta("alive") == first
    bench.handle(Alive(), LAST + SIGN_OF_LIFE)
    assert bench.index.meta("alive") != first
    bench.handle(Alive(), LAST - SIGN_OF_LIFE)
    assert bench.index.meta("alive") == (LAST - SIGN_OF_LIFE).to_bytes(8, "big"), "clocks are set back, too"


def test_counters_go_on_above_all_that_were_reserved() -> None:
    bench = started()
    bench.handle(Trusted())
    used = {record.dot for path in (b"f", b"g") for record in bench.state(path)}
    (record,) = find(bench, b"f", Disk(file(3), 8, START)).published
    assert record.dot not in used
    assert record.dot[1] > max(counter for _, counter in used)


def test_a_fresh_index_holds_back_as_ever() -> None:
    bench = Bench(fresh=True)
    bench.handle(Started(b"boot"), LAST)
    bench.see({b"f": file(100)}, LAST)
    start_again(bench, b"boot", START)
    bench.handle(Trusted())
    assert find(bench, b"f", left(0), Sign(0, None)).published == []
    assert bench.said(bench.handle(Settle(b""))) == [(Kind.FILE, b"f")]


@pytest.mark.parametrize(
    ("crash", "disk", "what"),
    [
        (POWER, Disk(file(50), 6, BEFORE), "removed before"),
        (POWER, Disk(file(50), 6, 0), "removed before"),
        (POWER, Disk(file(51), 6, BEFORE), None),
        (POWER, Disk(file(50), 6, START + 1), None),
        (CRASH, Disk(file(50), 6, BEFORE), None),
    ],
)
def test_what_is_back_where_nothing_is_to_be(crash: Crash, disk: Disk, what: str | None) -> None:
    """A removal was lost, or that it had been placed: the manifest knows the content, and nothing is shown there."""
    assert damage(crash, None, None, {OLDER}, disk, INTACT) == what
