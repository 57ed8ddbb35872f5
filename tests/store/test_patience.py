"""Waiting for an index that failed."""

import threading

import pytest

from syncd.store import patience as module
from syncd.store.index import IndexFull, IndexUnavailable
from syncd.store.patience import Patience

FULL = IndexFull("/state/index.sqlite3: database or disk is full")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.0)


def test_a_node_that_starts_does_not_wait() -> None:
    with pytest.raises(IndexFull):
        Patience().wait(FULL)


def test_trouble_is_told_once_and_when_it_is_over() -> None:
    told: list[str | None] = []
    patience = Patience()
    patience.begin(told.append)
    patience.over()
    patience.wait(FULL)
    patience.wait(FULL)
    assert patience.trouble == str(FULL)
    patience.wait(IndexUnavailable("another"))
    patience.over()
    patience.over()
    assert told == [str(FULL), "another", None]
    assert patience.trouble is None


def test_the_end_of_the_node_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", module.LONGEST_WAIT)
    patience = Patience()
    begun = threading.Event()
    patience.begin(lambda _: begun.set())
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(IndexFull):
            patience.wait(FULL)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(10)
    patience.stop()
    assert ended.wait(10)
    thread.join()
