import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadPath, RemoteError
from protocol.limits import MAX_NAME, MAX_PATH
from protocol.paths import ancestors, check_path, display, keys_above, name, parent, subtree, to_key, to_path

COMPONENTS = st.binary(min_size=1, max_size=6).filter(
    lambda c: b"/" not in c and b"\0" not in c and c not in (b".", b"..", b".syncd")
)
PATHS = st.lists(COMPONENTS, min_size=1, max_size=5).map(b"/".join)
DEEP = b"/".join([b"x" * 255] * 16)


@pytest.mark.parametrize(
    "path",
    [
        b"a", b"a/b", b"...", b".a", b"a.", b"..a/b..", b" ", b"\n", b"\xff\xfe", b"a\\b", b"-rf", b"a/.syncd",
        b".syncd2", b".SYNCD", b"x" * MAX_NAME, DEEP[:MAX_PATH],
    ],
)  # fmt: skip
def test_good_paths(path):
    check_path(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"", "empty path"),
        (b"/", "empty component"),
        (b"/a", "empty component"),
        (b"a/", "empty component"),
        (b"a//b", "empty component"),
        (b".", "relative"),
        (b"..", "relative"),
        (b"../a", "relative"),
        (b"a/..", "relative"),
        (b"a/./b", "relative"),
        (b"a/../../b", "relative"),
        (b"a\0b", "NUL"),
        (b"\0", "NUL"),
        (b"a/" + b"x" * (MAX_NAME + 1), "256 bytes"),
        (DEEP + b"x", "4096 bytes"),
        (b".syncd", "reserved"),
        (b".syncd/staging/x", "reserved"),
    ],
)
def test_bad_paths(path, reason):
    with pytest.raises(BadPath, match=reason) as caught:
        check_path(path)
    assert isinstance(caught.value, RemoteError)


@pytest.mark.parametrize(
    ("path", "above", "last", "higher"),
    [
        (b"a", b"", b"a", []),
        (b"a/b", b"a", b"b", [b"a"]),
        (b"a/b/c", b"a/b", b"c", [b"a", b"a/b"]),
    ],
)
def test_parts(path, above, last, higher):
    assert (parent(path), name(path), ancestors(path)) == (above, last, higher)
    assert keys_above(to_key(path)) == list(map(to_key, higher))


@given(PATHS)
def test_key_round_trip(path):
    check_path(path)
    assert to_path(to_key(path)) == path


@given(st.lists(PATHS, min_size=1, max_size=12, unique=True), st.data())
def test_a_subtree_is_one_run_right_after_its_directory(paths, data):
    path = data.draw(st.sampled_from(paths))
    low, high = subtree(to_key(path))
    keys = sorted(map(to_key, paths))
    inside = [to_path(key) for key in keys if low <= key < high]
    assert sorted(inside) == sorted([p for p in paths if p.startswith(path + b"/")])
    at = keys.index(to_key(path))
    assert keys[at + 1 : at + 1 + len(inside)] == [key for key in keys if low <= key < high]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"wp-content/a b.jpg", "wp-content/a b.jpg"),
        ("uploads/käse".encode(), "uploads/käse"),
        (b"a\nb\x1b[2J", r"a\x0ab\x1b[2J"),
        (b"\xff\x80", r"\xff\x80"),
        (b"a\\x0a", r"a\\x0a"),
        ("\x85".encode(), r"\u0085"),
        ("\u202egpj.exe".encode(), r"\u202egpj.exe"),
        ("\U000e0001".encode(), r"\U000e0001"),
    ],
)
def test_display(path, text):
    assert display(path) == text


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_display_is_printable_and_unambiguous(a, b):
    assert display(a).isprintable()
    assert (display(a) == display(b)) == (a == b)
