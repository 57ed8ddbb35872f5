"""What operators decide: versions that lost are dismissed or put back."""

import pytest

from protocol.record import Kind
from syncd.core.events import Dismiss, Put
from syncd.core.replica import Refused
from tests.core.bench import Author, Bench, FakePolicy, directory, file, in_step


def crowd(*tokens, entry=None):
    """A bench that shows `entry`, and losing siblings with these contents."""
    bench = in_step({b"f": entry or file(1)})
    for number, token in enumerate(tokens, 1):
        bench.receive(Author(number).edit(b"f", file(token), stamp=number))
    return bench


def test_what_is_dismissed_is_gone_and_what_is_shown_stays():
    bench = crowd(2, 3)
    (shown,) = [record for record in bench.state(b"f") if record.content == file(1).content]
    assert [record.content for record in bench.replica.versions(b"f")[1]] == [file(3).content, file(2).content]
    (said,) = bench.handle(Dismiss(b"f")).published
    assert bench.state(b"f") == (said,)
    assert (said.content, said.content_dot, said.content_stamp, said.spares) == (
        shown.content, shown.dot, shown.stamp, frozenset(),
    )  # fmt: skip
    assert bench.replica.versions(b"f") == (file(1), [])
    assert bench.index.losing(b"", 9) == []
    assert not any(action.want != action.expect.entry for action in bench.replica.plan([b"f"]) if action.expect)
    with pytest.raises(Refused, match="no conflict"):
        bench.handle(Dismiss(b"f"))


def test_a_dismissal_spares_what_nobody_here_knew():
    bench = crowd(2)
    later = Author(9).edit(b"f", file(4), bench.state(b"f"), file(2), stamp=9)
    bench.handle(Dismiss(b"f"))
    bench.receive(later)
    assert file(4).content in {record.content for record in bench.state(b"f")}
    assert file(2).content not in {record.content for record in bench.state(b"f")}


def test_a_dismissal_where_nothing_is_shown():
    bench = in_step({b"f": file(1)})
    bench.see({b"f": None})
    bench.receive(Author(1).found(b"f", file(5)))
    assert bench.replica.versions(b"f")[0] is None
    (said,) = bench.handle(Dismiss(b"f")).published
    assert said.kind == Kind.DELETE
    assert bench.replica.versions(b"f") == (None, [])


def test_a_version_that_lost_is_put_back():
    bench = crowd(2, 3)
    effects = bench.handle(Put(b"f", file(2)))
    assert effects.needs
    assert {record.content for record in bench.state(b"f")} == {file(2).content, file(3).content}
    assert bench.plan() == [(b"f", file(2))]
    assert len(bench.state(b"f")) == 2, "the sibling with the same content is covered"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Put(b"f", file(1)), "already"),
        (Put(b"f/x", file(2)), "f is no directory"),
        (Put(b"d", file(2)), "not empty"),
        (Put(b"cache/x", file(2)), "takes no part"),
        (Dismiss(b"nothing"), "no conflict"),
    ],
)
def test_decisions_that_cannot_be_carried_out(event, words):
    bench = in_step(
        {b"f": file(1), b"d": directory(), b"d/x": file(3), b"cache": directory()},
        policy=FakePolicy(ignore=[b"cache"]),
    )
    with pytest.raises(Refused, match=words):
        bench.handle(event)


def test_a_decision_that_no_peer_would_accept():
    bench = crowd(*range(2, 66))
    with pytest.raises(Refused, match="siblings"):
        bench.handle(Put(b"f", file(99)))
    assert bench.handle(Dismiss(b"f")).published, "dismissing is always possible"


def test_who_may_not_publish_decides_nothing():
    for bench, words in ((Bench(read_only=True), "read-only"), (Bench(fresh=True), "not settled")):
        with pytest.raises(Refused, match=words):
            bench.handle(Dismiss(b"f"))
