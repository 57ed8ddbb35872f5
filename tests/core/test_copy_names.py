"""Names of conflict copies: readable, the same everywhere, never too long, and no worse UTF-8 than before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.copy_names import NAME_BYTES, copy_path

NODE = bytes.fromhex("0123456789abcdef")
STAMP = 1_767_225_599_999_999_999  # the last moment of 2025
MARK = b".sync-conflict-20251231-235959-01234567"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"a.txt", b"a" + MARK + b".txt"),
        (b"a", b"a" + MARK),
        (b"themes/x/functions.php", b"themes/x/functions" + MARK + b".php"),
        (b"site.tar.gz", b"site.tar" + MARK + b".gz"),
        (b"uploads/.htaccess", b"uploads/.htaccess" + MARK),
        (b".a.b", b".a" + MARK + b".b"),
        (b"...", b"..." + MARK),
        (b"a.", b"a" + MARK + b"."),
        (b"a.b/c", b"a.b/c" + MARK),
        (b"a." + b"x" * 32, b"a." + b"x" * 32 + MARK),
        (b"\xff.\xfe", b"\xff" + MARK + b".\xfe"),
    ],
)
def test_examples(path: bytes, expected: bytes) -> None:
    assert copy_path(path, STAMP, NODE) == expected


def test_the_next_name_is_another_one() -> None:
    assert copy_path(b"a.txt", STAMP, NODE, 2) == b"a" + MARK + b"-2.txt"


@given(st.text(min_size=1, max_size=255), st.integers(0, (1 << 62)), st.binary(min_size=8, max_size=16))
def test_any_name_stays_a_name(name: str, stamp: int, node: bytes) -> None:
    encoded = name.replace("/", "").encode("utf-8", "replace")[:255].decode("utf-8", "ignore").encode()
    copy = copy_path(b"d/" + encoded, stamp, node, 9)
    assert copy.startswith(b"d/")
    last = copy[2:]
    assert b"/" not in last
    assert len(last) <= NAME_BYTES
    assert last.decode("utf-8").encode() == last
    assert last != encoded


@given(st.binary(min_size=1, max_size=255))
def test_names_that_are_no_text_have_copies_too(name: bytes) -> None:
    copy = copy_path(name.replace(b"/", b"x"), STAMP, NODE)
    assert b".sync-conflict-" in copy
    assert len(copy) <= NAME_BYTES
