"""What is told of contents that nobody at hand has, and when."""

from syncd.core.events import Action
from syncd.node.missing import AGAIN, PATIENCE, Missing
from syncd.node.underway import Content


def stuck(*paths: bytes) -> Content:
    """A content that these paths wait for."""
    return Content(b"content", 3, 0, 0, [Action(b"key of " + path, path, None, None) for path in paths])


def test_it_is_told_once_it_has_lasted() -> None:
    missing, content = Missing(), stuck(b"a.jpg", b"b.jpg")
    assert missing.problems([content], 100.0, asked=True) == []
    assert missing.problems([content], 100.0 + PATIENCE - 0.1, asked=True) == []
    told = missing.problems([content], 100.0 + PATIENCE, asked=True)
    assert [f"problem: {item.path.decode()}: {item.operation}: {item.reason}" for item in told] == [
        "problem: a.jpg: fetch: no connected peer has its bytes",
        "problem: b.jpg: fetch: no connected peer has its bytes",
    ]


def test_without_peers_it_is_no_news() -> None:
    missing, content = Missing(), stuck(b"a.jpg")
    missing.problems([content], 100.0, asked=False)
    assert missing.problems([content], 100.0 + PATIENCE, asked=False) == []
    assert missing.problems([content], 100.0 + PATIENCE, asked=True) != []


def test_what_came_meanwhile_begins_anew() -> None:
    missing, content = Missing(), stuck(b"a.jpg")
    missing.problems([content], 100.0, asked=True)
    missing.problems([], 105.0, asked=True)
    assert missing.problems([content], 100.0 + PATIENCE, asked=True) == []


def test_everybody_is_asked_again_now_and_then() -> None:
    missing, content = Missing(), stuck(b"a.jpg")
    assert not missing.asks_again([], 100.0)
    assert not missing.asks_again([content], 100.0 + AGAIN - 0.1)
    assert missing.asks_again([content], 100.0 + AGAIN)
    assert not missing.asks_again([content], 100.0 + AGAIN + 0.1)
