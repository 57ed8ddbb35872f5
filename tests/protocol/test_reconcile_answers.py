"""Single answers to a pull: which are refused, and how it goes on after others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import RemoteError
from protocol.messages import encode
from protocol.pages import Page
from protocol.reconcile import AskLeaves, AskPages, AskRecords, Pull
from tests.protocol.pulls import ALL, a_leaf, a_tree

HASH = bytes(32)


def pages_of(*firsts):
    return [(first, HASH, 1) for first in firsts]


def asked_pages(lo=b"b", hi=b"y"):
    pull = Pull(a_tree([a_leaf(b"m")]), [(lo, hi)], 1)
    (ask,) = pull.requests()
    assert isinstance(ask, AskPages)
    return pull, ask.id


def asked_leaves():
    pull, request = asked_pages()
    pull.on_pages(request, pages_of(b""), None)
    (ask,) = pull.requests()
    pull.on_pages(ask.id, pages_of(b""), None)
    (ask,) = pull.requests()
    assert isinstance(ask, AskLeaves)
    return pull, ask.id


def asked_keys():
    pull, request = asked_leaves()
    pull.on_leaves(request, pages_of(b"c", b"d", b"e"), None)
    (ask,) = pull.requests()
    assert ask == AskRecords(ask.id, b"c", b"e\0", (b"c", b"d", b"e"))
    return pull, ask.id


def asked_range(lo=b"b", hi=b"y"):
    pull = Pull(a_tree([]), [(lo, hi)], 1)
    (ask,) = pull.requests()
    assert ask == AskRecords(ask.id, lo, hi, ())
    return pull, ask.id


TOO_MANY = pages_of(*[b"c%04d" % number for number in range(limits.MAX_PAGES_PER_ANSWER)])


@pytest.mark.parametrize(("pages", "following"), [
    (pages_of(b"b", b"d", b"c"), None),
    (pages_of(b"b", b"d", b"d"), None),
    (pages_of(b"c"), None),  # what is before it?
    (pages_of(b"", b"a"), None),  # the first page is not in the range
    (pages_of(b"a", b"b", b"c"), None),
    (pages_of(b"b", b"y"), None),
    (pages_of(b"b", b"z"), None),
    (pages_of(b"b") + TOO_MANY, None),
    ([], b"c"),
    (pages_of(b""), b"a"),
    (pages_of(b""), b"b"),
    (pages_of(b"b"), b"b"),
    (pages_of(b"b", b"d"), b"c"),
    (pages_of(b"b", b"d"), b"y"),
])  # fmt: skip
def test_impossible_pages_are_refused(pages, following):
    pull, request = asked_pages()
    with pytest.raises(RemoteError):
        pull.on_pages(request, pages, following)


@pytest.mark.parametrize(("leaves", "following"), [
    (pages_of(b"d", b"c"), None),
    (pages_of(b"c", b"c"), None),
    (pages_of(b"a", b"c"), None),
    (pages_of(b"c", b"y"), None),
    (pages_of(b"b") + TOO_MANY, None),
    ([], b"c"),
    (pages_of(b"c"), b"c"),
    (pages_of(b"d"), b"c"),
    (pages_of(b"d"), b"y"),
    (pages_of(b"d"), b"z"),
])  # fmt: skip
def test_impossible_leaves_are_refused(leaves, following):
    pull, request = asked_leaves()
    with pytest.raises(RemoteError):
        pull.on_leaves(request, leaves, following)


@pytest.mark.parametrize("following", [b"", b"a", b"b", b"y", b"z"])
def test_records_that_do_not_advance_are_refused(following):
    pull, request = asked_range()
    with pytest.raises(RemoteError):
        pull.on_records_end(request, following)


@pytest.mark.parametrize("following", [b"", b"b", b"c", b"e\0"])
def test_records_of_keys_that_do_not_advance_are_refused(following):
    pull, request = asked_keys()
    with pytest.raises(RemoteError):
        pull.on_records_end(request, following)


@pytest.mark.parametrize(("following", "rest"), [(b"c\0", (b"d", b"e")), (b"d", (b"d", b"e")), (b"d\0", (b"e",))])
def test_keys_go_on_where_the_answer_ended(following, rest):
    pull, request = asked_keys()
    pull.on_records_end(request, following)
    (ask,) = pull.requests()
    assert ask.keys == rest
    assert encode(ask)


def test_a_peer_that_lost_everything_has_nothing_to_ask_for():
    pull, request = asked_pages()
    pull.on_pages(request, [], None)
    assert pull.done


def test_keys_that_are_all_answered_are_done():
    pull, request = asked_keys()
    pull.on_records_end(request, b"e")
    (ask,) = pull.requests()
    pull.on_records_end(ask.id, None)
    assert pull.requests() == []
    assert pull.done


def test_answers_to_no_request_are_refused():
    for begun in (asked_pages, asked_leaves, asked_range, asked_keys):
        for answer in (
            lambda pull, request: pull.on_pages(request + 1, [], None),
            lambda pull, request: pull.on_leaves(request + 1, [], None),
            lambda pull, request: pull.on_records_end(request + 1, None),
            lambda pull, request: pull.on_records_end(0, None),
        ):
            with pytest.raises(RemoteError, match="no request"):
                answer(*begun())


def test_answers_of_another_kind_are_refused():
    for begun, answer in (
        (asked_pages, lambda pull, request: pull.on_leaves(request, [], None)),
        (asked_pages, lambda pull, request: pull.on_records_end(request, None)),
        (asked_leaves, lambda pull, request: pull.on_pages(request, [], None)),
        (asked_range, lambda pull, request: pull.on_pages(request, [], None)),
        (asked_keys, lambda pull, request: pull.on_leaves(request, [], None)),
    ):
        with pytest.raises(RemoteError, match="no request"):
            answer(*begun())


def test_no_request_is_answered_twice():
    pull, request = asked_range()
    pull.on_records_end(request, None)
    assert pull.done
    with pytest.raises(RemoteError, match="no request"):
        pull.on_records_end(request, None)


@pytest.mark.parametrize("level", [-1, limits.MAX_LEVELS])
def test_a_level_that_no_manifest_has_is_refused(level):
    with pytest.raises(RemoteError, match="level"):
        Pull(a_tree([]), [ALL], level)


@given(st.lists(st.binary(max_size=2), unique=True, max_size=20).map(sorted), st.integers(0, 1 << 60))
def test_what_a_liar_counts_costs_requests_only(firsts, count):
    pull, request = asked_pages(b"", None)
    pages = [Page(first, HASH, count) for first in [b"", *[first for first in firsts if first]]]
    pull.on_pages(request, pages, None)
    asks = pull.requests()
    assert 1 <= len(asks) <= min(len(pages), limits.MAX_PULL_REQUESTS)
