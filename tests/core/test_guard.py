"""What is suspicious, when a burst of it is over, and how much of it is too much."""

import pytest

from syncd.core.events import Applied, Seen
from syncd.core.guard import BURST_PATHS, LONGEST, MOST_GATHERED, PAUSE, QUIET, Burst, Suspect, Suspicion, too_many
from tests.core.bench import Author, Bench, FakePolicy, directory, file, in_step, link

DELETED, DIRECTORY, REVERTED, REWRITTEN = Suspicion


def suspects(bench: Bench, entries, *, rewrites: bool = False) -> dict[bytes, Suspect]:
    return bench.replica.suspects(bench.looks(entries), rewrites)


# ---- what is suspicious


def edited(*, read_only: bool = False) -> Bench:
    """f went from content 1 to 2, g was deleted, l is a link, d/x lies in a directory that nobody made by name."""
    bench = in_step({b"f": file(1), b"g": file(3), b"l": link(b"x"), b"ignored": file(1)})
    bench.see({b"f": file(2), b"g": None})
    bench.receive(Author(1).edit(b"d/x", file(4)))
    bench.apply_all()
    if read_only:
        bench.identity = bench.identity._replace(read_only=True)
        bench.open()
    return bench


@pytest.mark.parametrize(
    ("path", "now", "why"),
    [
        (b"f", None, DELETED),
        (b"f", file(1), REVERTED),
        (b"f", file(2, mtime=99), None),
        (b"f", file(9), None),
        (b"f", directory(), None),
        (b"g", None, None),
        (b"g", file(3), REVERTED),
        (b"g", file(4), None),
        (b"l", None, DELETED),
        (b"d", None, DIRECTORY),
        (b"d", file(9), DIRECTORY),
        (b"d", directory(0o700), None),
        (b"new", file(1), None),
        (b"new", None, None),
    ],
)
def test_what_is_suspicious(path: bytes, now, why: Suspicion | None) -> None:
    assert suspects(edited(), {path: now}) == ({path: Suspect(why, needed=False)} if why is not None else {})


@pytest.mark.parametrize(
    ("path", "now", "why"),
    [
        (b"f", file(1), REVERTED),
        (b"f", file(2, mtime=99), None),
        (b"f", file(9), REWRITTEN),
        (b"f", directory(), None),
        (b"f", link(b"y"), None),
        (b"g", file(4), None),
        (b"l", file(9), None),
        (b"l", link(b"y"), None),
        (b"d", file(9), DIRECTORY),
        (b"new", file(1), None),
    ],
)
def test_what_is_a_rewritten_file(path: bytes, now, why: Suspicion | None) -> None:
    expected = {path: Suspect(why, needed=False)} if why is not None else {}
    assert suspects(edited(), {path: now}, rewrites=True) == expected
    assert suspects(edited(read_only=True), {path: now}, rewrites=True) == {}


def test_who_publishes_nothing_suspects_nothing() -> None:
    everything = {b"f": None, b"d": None, b"g": file(3)}
    assert suspects(edited(read_only=True), everything) == {}
    fresh = Bench(fresh=True)
    fresh.see({b"f": file(1)})
    assert suspects(fresh, {b"f": None}) == {}
    half = edited()
    half.replica._freshness.boundary = b"f"
    assert suspects(half, everything) == {b"d": Suspect(DIRECTORY, needed=False)}


def test_what_is_ignored_is_not_suspicious() -> None:
    bench = edited()
    bench.policy.ignore = FakePolicy(ignore=[b"ignored", b"d"]).ignore
    assert suspects(bench, {b"ignored": None, b"d": None, b"d/x": None}) == {}


def test_what_peers_changed_too_is_marked() -> None:
    bench = edited()
    bench.receive(Author(2).edit(b"f", file(7), bench.state(b"f"), file(2)))
    assert suspects(bench, {b"f": None}) == {b"f": Suspect(DELETED, needed=True, overtaken=True)}


@pytest.mark.parametrize(("now", "why"), [(None, DELETED), (file(1), REVERTED)])
def test_what_came_beside_a_content_does_not_overtake_it(now, why: Suspicion) -> None:
    """If nobody else has its bytes, everybody would wait for them. What lies in the archive here can be had."""
    bench = edited()
    bench.receive(Author(2).edit(b"f", file(7)))
    assert suspects(bench, {b"f": now}) == {b"f": Suspect(why, needed=True, overtaken=False)}
    bench.index.archive = {file(2).content}
    assert suspects(bench, {b"f": now}) == {b"f": Suspect(why, needed=True, overtaken=True)}


def test_what_came_below_a_file_does_not_overtake_it() -> None:
    bench = edited()
    bench.receive(Author(2).edit(b"f/below", file(7)))
    assert suspects(bench, {b"f": None}) == {b"f": Suspect(DELETED, needed=True, overtaken=False)}


def test_a_directory_and_a_link_are_overtaken_by_whatever_came() -> None:
    """Their records say all that there is of them."""
    bench = edited()
    bench.receive(Author(2).edit(b"d", file(7)), Author(3).edit(b"l", file(7)))
    bench.receive(Author(4).edit(b"d", directory(0o700)))
    overtaken = {b"d": Suspect(DIRECTORY, needed=True, overtaken=True), b"l": Suspect(DELETED, True, overtaken=True)}
    assert suspects(bench, {b"d": None, b"l": None}) == overtaken


def test_what_is_seen_and_no_edit_is_needed_again() -> None:
    bench = in_step({b"d": directory(), b"d/f": file(1), b"d/g": file(2)})
    bench.see({b"d/g": file(3)})
    effects = bench.handle(Seen(bench.looks({b"d": None, b"d/g": file(2)})))
    assert (effects.published, effects.needs) == ([], True)
    assert bench.row(b"d/f").disk is not None
    assert bench.plan() == [(b"d", directory()), (b"d/g", file(3))]
    bench.handle(Applied(bench.looks({b"d": directory()})))
    assert bench.plan() == [(b"d/g", file(3))]


# ---- how much is too much


@pytest.mark.parametrize(
    ("number", "files", "much"),
    [
        (BURST_PATHS, 0, False),
        (BURST_PATHS + 1, 0, True),
        (BURST_PATHS + 1, 4 * BURST_PATHS, True),
        (BURST_PATHS + 1, 4 * BURST_PATHS + 4, False),
        (25_000, 100_000, False),
        (25_001, 100_000, True),
    ],
)
def test_too_many(number: int, files: int, much: bool) -> None:
    assert too_many(number, files) is much


def keys(number: int, why: Suspicion = DELETED, start: int = 0) -> dict[bytes, Suspicion]:
    return {b"%d.%d" % (why, item): why for item in range(start, start + number)}


def test_a_burst_is_over_when_nothing_more_comes() -> None:
    burst = Burst()
    assert burst.due is None
    burst.note(keys(1), 10.0)
    assert burst.due == 10.0 + QUIET
    burst.note(keys(2), 10.5)
    assert burst.due == 10.5 + QUIET
    burst.note(keys(2), 11.0)  # nothing new
    assert burst.due == 10.5 + QUIET
    for tenth in range(100, 500):
        burst.note(keys(1, start=tenth), tenth / 10)
    assert burst.due == 10.0 + LONGEST
    burst.forget(b"0.0")
    assert len(burst.judge(0, emptied=False, now=40.0).release) == 401
    assert burst.due is None
    assert burst.judged == 1


def test_a_burst_that_takes_much_memory_is_judged_at_once() -> None:
    burst = Burst()
    burst.note(keys(MOST_GATHERED), 10.0)
    assert burst.due == 10.0


def judge(burst: Burst, now: float, *, emptied: bool = False) -> tuple[list[bytes], dict[bytes, Suspicion]]:
    release, hold = burst.judge(0, emptied, now)
    return sorted(release), hold


def test_too_many_of_one_kind_are_held_and_the_others_are_not() -> None:
    burst = Burst()
    burst.note(keys(BURST_PATHS + 1) | keys(3, DIRECTORY) | keys(5, REVERTED), 1.0)
    assert judge(burst, 2.0) == (sorted(keys(5, REVERTED)), keys(BURST_PATHS + 1) | keys(3, DIRECTORY))
    burst.note(keys(BURST_PATHS + 1, REVERTED) | keys(5, DIRECTORY), 90.0)
    assert judge(burst, 91.0) == (sorted(keys(5, DIRECTORY)), keys(BURST_PATHS + 1, REVERTED))


def test_directories_do_not_count() -> None:
    burst = Burst()
    burst.note(keys(BURST_PATHS + 1, DIRECTORY) | keys(BURST_PATHS), 1.0)
    assert judge(burst, 2.0)[1] == {}


def test_the_rest_of_a_held_burst_is_held_too() -> None:
    burst = Burst()
    burst.note({b"d\0%d" % n: DELETED for n in range(BURST_PATHS)} | {b"top": DELETED}, 1.0)
    assert len(judge(burst, 2.0)[1]) == BURST_PATHS + 1
    burst.note({b"d\0late": DELETED, b"e\0other": DELETED, b"d": DIRECTORY, b"x": DELETED}, 20.0)
    assert judge(burst, 21.0) == ([b"d", b"e\0other", b"x"], {b"d\0late": DELETED})
    burst.note({b"d\0later": DELETED, b"d\0old": REVERTED}, 21.0 + LONGEST - 1)
    assert judge(burst, 21.0 + LONGEST - 0.5) == ([b"d\0old"], {b"d\0later": DELETED})
    burst.note({b"d\0much later": DELETED}, 200.0)
    assert judge(burst, 200.0) == ([b"d\0much later"], {})
    burst.note({b"e\0%d" % n: DELETED for n in range(BURST_PATHS + 1)}, 300.0)
    judge(burst, 301.0)
    burst.note({b"d\0again": DELETED}, 302.0)
    assert judge(burst, 303.0) == ([b"d\0again"], {})


def test_what_was_published_just_before_counts() -> None:
    burst = Burst()
    for second in (1.0, 3.0):
        burst.note(keys(BURST_PATHS // 2, start=int(second) * 10_000), second)
        assert judge(burst, second + QUIET)[1] == {}
    burst.note(keys(50, DIRECTORY), 4.0)
    assert judge(burst, 4.0)[1] == {}
    burst.note(keys(1), 5.0)
    assert judge(burst, 5.5) == ([], keys(1))
    burst.note(keys(1, start=7), 3.0 + QUIET + PAUSE)
    assert judge(burst, 3.0 + QUIET + PAUSE) == (list(keys(1, start=7)), {})


def test_an_emptied_folder_is_held_however_little_it_was() -> None:
    burst = Burst()
    burst.note(keys(2) | keys(1, REVERTED), 1.0)
    assert judge(burst, 2.0, emptied=True) == (list(keys(1, REVERTED)), keys(2))
