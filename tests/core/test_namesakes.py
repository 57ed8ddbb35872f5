"""Two folders with each other's secret are noticed, and nothing else is."""

import pytest

from protocol.limits import MAX_FEATURES
from syncd.core.namesakes import confused_with, name_feature, with_name

ONE, TWO = b"1" * 32, b"2" * 32


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ("/srv/site/themes", None),
        ("/var/www/site/themes/", None),
        ("/var/www/site/uploads", "/srv/site/uploads"),
        ("/var/www/other/uploads", None),
        ("uploads", None),
    ],
)
def test_what_a_peer_has_under_this_secret(there: str, found: str | None) -> None:
    told = with_name(("ignore=*.log",), ONE, there)
    assert confused_with(told, ONE, "/srv/site/themes", ["/srv/site/else", "/srv/site/uploads"]) == found
    assert confused_with(told, TWO, "/srv/site/themes", ["/srv/site/uploads"]) is None, "of another folder"


def test_folders_that_are_called_alike_are_not_told_apart() -> None:
    told = with_name((), ONE, "/a/wp/content")
    assert confused_with(told, ONE, "/b/wp/content", ["/c/wp/content"]) is None


def test_a_peer_that_tells_nothing_of_it() -> None:
    assert confused_with(("ignore=*",), ONE, "/a", ["/b"]) is None
    full = tuple(f"ignore={number}" for number in range(MAX_FEATURES))
    assert with_name(full, ONE, "/a") == full


def test_the_name_is_not_told() -> None:
    said = name_feature(ONE, "/srv/secret-customer/site")
    assert "customer" not in said
    assert len(said) < 32
    assert said != name_feature(TWO, "/srv/secret-customer/site")
