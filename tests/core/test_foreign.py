"""Ignore rules of a peer, and the size of what it keeps."""

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
    assert ignores(path, 1) is ignored


@pytest.mark.parametrize("lines", [["/x"] * (MAX_FEATURES + 1), ["é" * 200], ["*"]])
def test_rules_that_cannot_be_told_ignore_all(lines: list[str]) -> None:
    told = features(lines)
    assert told == ("ignore=*",)
    ignores = ignored_there(told, OWN)
    assert ignores is not None
    assert ignores(b"any", 1)


def test_rules_that_make_no_sense_ignore_all() -> None:
    ignores = ignored_there(("ignore=[",), OWN)
    assert ignores is not None
    assert ignores(b"any", 1)


def test_a_smaller_size_and_the_same_rules() -> None:
    told = features(["/cache/"], 100)
    ignores = ignored_there(told, OWN)
    assert ignores is not None
    assert [ignores(b"x", 100), ignores(b"x", 101), ignores(b"cache/x", 1)] == [False, True, True]
    assert ignored_there(told, told) is None


@pytest.mark.parametrize("size", ["", "much", "-1"])
def test_a_size_that_makes_no_sense_leaves_out_all(size: str) -> None:
    ignores = ignored_there((f"max_file_size={size}",), ())
    assert ignores is not None
    assert ignores(b"any", 0)


def test_a_size_that_does_not_fit_beside_the_rules_leaves_out_all() -> None:
    assert features(["/x"] * MAX_FEATURES, 100) == ("ignore=*",)
