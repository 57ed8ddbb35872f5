"""Ignore rules of a peer."""

import pytest

from protocol.limits import MAX_FEATURES
from syncd.core.foreign import features, ignored_there

OWN = features(["/cache/"])


def test_the_same_rules_and_none_do_not_matter() -> None:
    assert ignored_there(OWN, OWN) is None
    assert ignored_there((), OWN) is None
    assert ignored_there(("something else",), OWN) is None


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        (b"cache/x", True),
        (b"uploads/2026/cat.jpg", True),
        (b"uploads", True),
        (b"themes/style.css", False),
        (b"themes/a.log", True),
    ],
)
def test_other_rules(path: bytes, ignored: bool) -> None:
    ignores = ignored_there(("x", *features(["/cache/", "# why", "", "/uploads/", "*.log"])), OWN)
    assert ignores is not None
    assert ignores(path) is ignored


@pytest.mark.parametrize("lines", [["/x"] * (MAX_FEATURES + 1), ["é" * 200], ["*"]])
def test_rules_that_cannot_be_told_ignore_all(lines: list[str]) -> None:
    told = features(lines)
    assert told == ("ignore=*",)
    ignores = ignored_there(told, OWN)
    assert ignores is not None
    assert ignores(b"any")


def test_rules_that_make_no_sense_ignore_all() -> None:
    ignores = ignored_there(("ignore=[",), OWN)
    assert ignores is not None
    assert ignores(b"any")
