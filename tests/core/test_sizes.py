"""Files above the size that takes part: known, and neither fetched nor published nor touched. Sizes are tokens here."""

import pytest

from protocol.record import Kind
from syncd.core import sizes
from tests.core.bench import Author, Bench, FakePolicy, directory, file, in_step

LARGEST = 100
SMALL, OTHER, LARGE, LARGER = file(50), file(60), file(500), file(600)


def bench() -> Bench:
    return Bench(policy=FakePolicy(largest=LARGEST))


def limited(entries) -> Bench:
    """The entries were in step before there was the rule."""
    found = in_step(entries, policy=FakePolicy())
    found.policy.largest = LARGEST
    return found


@pytest.mark.parametrize(("size", "refused"), [(0, False), (100, False), (101, True)])
def test_the_bound_itself_takes_part(size: int, refused: bool) -> None:
    reason = sizes.refusal(size, LARGEST)
    assert (reason is not None) is refused
    assert reason is None or ("101 bytes" in reason and "max_file_size (100)" in reason)
    assert sizes.refusal(size, None) is None


def test_a_large_file_of_a_peer_is_known_and_not_needed() -> None:
    found = bench()
    author = Author(1)
    found.receive(author.edit(b"f", LARGE), author.edit(b"g", SMALL))
    assert found.needs() == [b"g"]
    assert found.state(b"f")[0].size == 500


def test_what_was_there_stays_when_a_peer_makes_it_large() -> None:
    found = limited({b"f": SMALL})
    found.receive(Author(1).edit(b"f", LARGE, found.state(b"f"), SMALL))
    assert found.needs() == []
    effects = found.see({b"f": None})
    assert effects.published == [], "nobody here saw what would be deleted"
    assert found.needs() == []


def test_an_edit_of_what_was_there_and_a_large_version_are_both_kept() -> None:
    found = limited({b"f": SMALL})
    theirs = Author(1).edit(b"f", LARGE, found.state(b"f"), SMALL)
    found.receive(theirs)
    found.see({b"f": OTHER})
    assert {record.content for record in found.state(b"f")} == {LARGE.content, OTHER.content}


def test_a_small_file_where_peers_have_a_large_one_is_a_second_version() -> None:
    found = bench()
    found.receive(Author(1).edit(b"f", LARGE))
    found.see({b"f": SMALL})
    assert {record.content for record in found.state(b"f")} == {LARGE.content, SMALL.content}


@pytest.mark.parametrize("after", [None, SMALL, LARGER])
def test_a_large_file_from_before_the_rule_is_not_touched(after) -> None:
    found = limited({b"f": LARGE})
    found.receive(Author(1).edit(b"f", after, found.state(b"f"), LARGE))
    assert found.needs() == []
    assert found.row(b"f").disk.entry == LARGE
    assert found.see({b"f": None}).published == [], "it took no part: its end is no deletion"
    assert found.needs() == ([b"f"] if after == SMALL else [])


def test_a_large_file_that_becomes_small_takes_part_again() -> None:
    found = limited({b"f": LARGE})
    effects = found.see({b"f": SMALL})
    assert found.said(effects) == [(Kind.FILE, b"f")]
    assert found.state(b"f")[0].content == SMALL.content


def test_a_directory_goes_as_far_as_it_can() -> None:
    """What is beside a large file is removed; the applier finds that the directory is not empty."""
    found = limited({b"d": directory(), b"d/large": LARGE, b"d/small": SMALL})
    author = Author(1)
    for path, before in ((b"d/large", LARGE), (b"d/small", SMALL), (b"d", directory())):
        found.receive(author.edit(path, None, found.state(path), before))
    assert found.plan(b"d") == [(b"d/small", None), (b"d", None)]
