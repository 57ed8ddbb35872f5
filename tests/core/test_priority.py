import itertools

import pytest

from protocol.edit import Entry
from protocol.limits import MAX_CLASSES
from protocol.paths import to_key
from protocol.record import DIRECTORY_CONTENT, LINK_MODE, Kind
from syncd.core.patterns import PatternError, Patterns
from syncd.core.policy import Policy
from syncd.core.priority import DIRECTORY_ORDER, ORDERS, FolderPolicy, Priority, PriorityClass

TOKEN = b"\x01" * 32
DIR = Entry(Kind.DIR, DIRECTORY_CONTENT, 0, 0o755, 0, b"")


def a_file(size=1, mtime=1, mode=0o644):
    return Entry(Kind.FILE, TOKEN, size, mode, mtime, b"")


def a_link(mtime=1):
    return Entry(Kind.LINK, TOKEN, 0, LINK_MODE, mtime, b"to")


FILE, LINK = a_file(), a_link()
WORDPRESS = Priority([
    PriorityClass("themes", ["/themes/", "/mu-plugins/"]),
    PriorityClass("plugins", ["/plugins/", "/languages/"]),
    PriorityClass("uploads", ["*"], "newest"),
])  # fmt: skip
IGNORE = Patterns(["/cache/", "/upgrade/", "/upgrade-temp-backup/", "*.log"])


@pytest.mark.parametrize(
    ("path", "want", "name"),
    [
        (b"themes", DIR, "themes"),
        (b"themes/twenty", DIR, "themes"),
        (b"themes/twenty/style.css", FILE, "themes"),
        (b"themes/twenty/style.css", None, "themes"),
        (b"themes", None, "themes"),
        (b"themes", FILE, "uploads"),
        (b"mu-plugins/x.php", FILE, "themes"),
        (b"mu-plugins/link", LINK, "themes"),
        (b"plugins/akismet/akismet.php", FILE, "plugins"),
        (b"plugins/themes/x", FILE, "plugins"),
        (b"languages/de_DE.mo", FILE, "plugins"),
        (b"uploads/2024/05/a.jpg", FILE, "uploads"),
        (b"uploads/themes/a.jpg", FILE, "uploads"),
        (b"index.php", FILE, "uploads"),
        (b"themes2/a", FILE, "uploads"),
    ],
)
def test_wordpress_classes(path, want, name):
    rank, _ = WORDPRESS.place(path, want)
    assert WORDPRESS.classes[rank].name == name
    assert WORDPRESS.rank(path, want is None or want.kind == Kind.DIR) == rank


def test_wordpress_order():
    assert WORDPRESS.names == ["themes", "plugins", "uploads"]
    wanted = {
        b"uploads/old.jpg": a_file(mtime=10), b"uploads/new.jpg": a_file(mtime=20), b"uploads": DIR,
        b"uploads/2024": DIR, b"uploads/gone": None, b"uploads/gone/deep.jpg": None, b"themes/gone.css": None,
        b"themes/x/b.css": a_file(mtime=99), b"themes/x/a.css": a_file(mtime=1), b"themes/x": DIR, b"themes": DIR,
        b"plugins/p.php": FILE, b"uploads/l": a_link(mtime=15),
    }  # fmt: skip
    assert sorted(wanted, key=lambda path: (*WORDPRESS.place(path, wanted[path]), to_key(path))) == [
        b"themes", b"themes/x", b"themes/x/a.css", b"themes/x/b.css", b"themes/gone.css", b"plugins/p.php", b"uploads",
        b"uploads/2024", b"uploads/new.jpg", b"uploads/l", b"uploads/old.jpg", b"uploads/gone/deep.jpg",
        b"uploads/gone",
    ]  # fmt: skip


def test_wordpress_ranges():
    assert [WORDPRESS.prefixes(rank) for rank in range(3)] == [
        [b"themes", b"mu-plugins"],
        [b"plugins", b"languages"],
        None,
    ]
    assert WORDPRESS.ranges() == [
        (b"themes", b"themes\x01", 0),
        (b"mu-plugins", b"mu-plugins\x01", 0),
        (b"plugins", b"plugins\x01", 1),
        (b"languages", b"languages\x01", 1),
        (b"", None, None),
    ]


@pytest.mark.parametrize(
    ("path", "directory", "ignored"),
    [
        (b"cache", True, True),
        (b"cache/object/x", False, True),
        (b"upgrade/akismet", True, True),
        (b"upgrade-temp-backup/plugins/x", False, True),
        (b"debug.log", False, True),
        (b"plugins/x/error.log", False, True),
        (b"plugins/x/cache/y", False, False),
        (b"themes/x/style.css", False, False),
        (b".syncd", True, True),
        (b".syncd", False, True),
        (b".syncd/staging/x", False, True),
        (b".syncdx", False, False),
        (b"a/.syncd", True, False),
        (b"a/.syncd/x", False, False),
        (b".style.css.Xa1b2c", False, False),
        (b".style.css.swp", False, False),
        (b"style.css~", False, False),
    ],
)
def test_wordpress_ignores(path, directory, ignored):
    assert FolderPolicy(WORDPRESS, IGNORE).ignored(path, directory) is ignored


def test_nothing_takes_the_reserved_directory_back():
    policy = FolderPolicy(Priority(), Patterns(["!/.syncd", "!/.syncd/**"]))
    assert policy.ignored(b".syncd/x", False)


# --- order within a class


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("name", "a b c"),
        ("newest", "c a b"),
        ("oldest", "b a c"),
        ("smallest", "b c a"),
        ("largest", "a c b"),
    ],
)
def test_orders(order, expected):
    priority = Priority([PriorityClass("all", ["*"], order)])
    wanted = {b"a": a_file(30, 2), b"b": a_file(10, 1), b"c": a_file(20, 3)}
    places = sorted((*priority.place(path, want), path) for path, want in wanted.items())
    assert b" ".join([path for *_, path in places]).decode() == expected


def test_random_order_is_steady_and_unlike_names():
    priority = Priority([PriorityClass("all", ["*"], "random")])
    paths = [b"%d" % n for n in range(100, 200)]
    numbers = [priority.place(path, FILE)[1] for path in paths]
    assert numbers == [priority.place(path, FILE)[1] for path in paths]
    assert len(set(numbers)) == 100
    assert numbers != sorted(numbers)


@pytest.mark.parametrize("order", ORDERS)
def test_directories_come_first_and_deletions_last_whatever_records_say(order):
    """Also with times and sizes at the ends of their ranges; all numbers fit 64 bits."""
    priority = Priority([PriorityClass("all", ["*"], order)])
    deep = b"/".join([b"x"] * 2048)
    extremes = itertools.product((0, 1 << 62), (-(1 << 63), 0, (1 << 63) - 1))
    files = [priority.place(b"p", a_file(size, mtime))[1] for size, mtime in extremes]
    deletions = [priority.place(path, None)[1] for path in (deep, b"a/b", b"a")]
    numbers = [priority.place(b"d", DIR)[1], *sorted(files), *deletions]
    assert numbers == sorted(numbers)
    assert numbers[0] == DIRECTORY_ORDER < numbers[1]
    assert max(files) < deletions[0] < deletions[1] < deletions[2]
    assert all(-(1 << 63) <= number < 1 << 63 for number in numbers)


# --- classes


def test_what_no_class_selects_is_the_rest():
    priority = Priority([PriorityClass("code", ["*.php"])])
    assert priority.names == ["code", "rest"]
    assert priority.place(b"a/x.php", FILE)[0] == 0
    assert priority.place(b"a/x.css", FILE)[0] == 1
    assert priority.place(b"a", DIR)[0] == 1
    assert [priority.prefixes(rank) for rank in (0, 1)] == [None, None]
    assert priority.ranges() == [(b"", None, None)]


def test_no_classes_at_all():
    assert Priority().names == ["rest"]
    assert Priority().place(b"a", FILE) == (0, 0)
    assert Priority().ranges() == [(b"", None, None)]


def test_the_first_class_that_selects_a_path_has_it():
    priority = Priority([
        PriorityClass("css", ["/themes/*/style.css"]),
        PriorityClass("themes", ["/themes/", "!/themes/old/"]),
        PriorityClass("all", ["**"]),
    ])  # fmt: skip
    assert priority.place(b"themes/x/style.css", FILE)[0] == 0
    assert priority.place(b"themes/x/other.css", FILE)[0] == 1
    assert priority.place(b"other", FILE)[0] == 2


def test_directories_on_the_way_belong_to_the_class_they_lead_to():
    priority = Priority([
        PriorityClass("deep", ["/a/b/c/", "/x/y"]),
        PriorityClass("a", ["/a/", "/x/v/w"]),
    ])  # fmt: skip
    ranks = {path: priority.place(path, DIR)[0] for path in (b"a", b"a/b", b"a/b/c", b"a/d", b"x", b"x/z")}
    assert ranks == {b"a": 0, b"a/b": 0, b"a/b/c": 0, b"a/d": 1, b"x": 0, b"x/z": 2}
    assert priority.place(b"a", None)[0] == 1
    assert priority.place(b"x", FILE)[0] == 2


def test_ranges_hold_the_ancestors_alone_and_nothing_twice():
    priority = Priority([
        PriorityClass("deep", ["/a/b/c/", "/a/b/d", "/a/b/c/e/", "/x"]),
        PriorityClass("mixed", ["/m/n/", "*.php"]),
        PriorityClass("a", ["/a/"]),
    ])  # fmt: skip
    assert priority.ranges() == [
        (b"a", b"a\0", 0),
        (b"a\0b", b"a\0b\0", 0),
        (b"a\0b\0c", b"a\0b\0c\x01", 0),
        (b"a\0b\0d", b"a\0b\0d\x01", 0),
        (b"x", b"x\x01", 0),
        (b"m", b"m\0", None),
        (b"m\0n", b"m\0n\x01", None),
        (b"a", b"a\x01", 2),
        (b"", None, None),
    ]
    assert [priority.prefixes(rank) for rank in range(4)] == [
        [b"a/b/c", b"a/b/d", b"a/b/c/e", b"x"], None, [b"a"], None,
    ]  # fmt: skip


def test_all_of_a_class_lies_in_its_ranges():
    priority = Priority([
        PriorityClass("one", ["/t/*/s", "/u/"]),
        PriorityClass("two", ["/v/w", "/t/"]),
    ])  # fmt: skip
    names = [b"t", b"u", b"v", b"w", b"s", b"u!"]
    paths = [b"/".join(parts) for n in (1, 2, 3) for parts in itertools.product(names, repeat=n)]
    for path, want in itertools.product(paths, (FILE, DIR)):
        rank = priority.place(path, want)[0]
        if priority.prefixes(rank) is not None:
            spans = [(low, high) for low, high, owner in priority.ranges() if owner == rank]
            assert any(low <= to_key(path) < high for low, high in spans), path


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        ([PriorityClass("a", [])], "'a' has no pattern"),
        ([PriorityClass("a", ["!x", "# y"])], "'a' has no pattern"),
        ([PriorityClass("a", ["*"], "fastest")], "'a' has the order 'fastest'"),
        ([PriorityClass("a", ["x"]), PriorityClass("a", ["y"])], "two classes are named 'a'"),
        ([PriorityClass("rest", ["x"])], "two classes are named 'rest'"),
        ([PriorityClass(str(n), [str(n)]) for n in range(MAX_CLASSES)], "65 classes"),
    ],
)
def test_what_is_wrong_with_classes(classes, reason):
    with pytest.raises(ValueError, match=reason):
        Priority(classes)


def test_a_bad_pattern_is_named():
    with pytest.raises(PatternError, match="'a//b'"):
        Priority([PriorityClass("a", ["a//b"])])


def test_the_name_rest_is_free_if_a_class_selects_everything():
    assert Priority([PriorityClass("rest", ["*"])]).names == ["rest"]


# --- the policy of a folder


def test_a_folder_policy_is_a_policy():
    policy: Policy = FolderPolicy(WORDPRESS, IGNORE)
    assert policy.overwrite_changes
    assert not FolderPolicy(WORDPRESS, IGNORE, overwrite_changes=False).overwrite_changes
    assert policy.place(b"plugins/x", FILE) == WORDPRESS.place(b"plugins/x", FILE)


@pytest.mark.parametrize(
    ("seen", "shown", "file_mode", "dir_mode", "mode"),
    [
        (a_file(mode=0o640), a_file(mode=0o644), None, None, 0o640),
        (a_file(mode=0o640), a_file(mode=0o644), 0o640, None, 0o644),
        (a_file(mode=0o640), a_file(2, 2, mode=0o644), 0o640, None, 0o644),
        (a_file(mode=0o640), a_file(mode=0o644), None, 0o750, 0o640),
        (a_file(mode=0o640), None, 0o640, None, 0o640),
        (a_file(mode=0o640), DIR, 0o640, 0o750, 0o640),
        (DIR._replace(mode=0o750), DIR, None, 0o750, 0o755),
        (DIR._replace(mode=0o750), DIR, 0o640, None, 0o750),
        (LINK, a_link(9), 0o640, 0o750, LINK_MODE),
    ],
)
def test_normalise(seen, shown, file_mode, dir_mode, mode):
    policy = FolderPolicy(WORDPRESS, IGNORE, file_mode=file_mode, dir_mode=dir_mode)
    assert policy.normalise(seen, shown) == seen._replace(mode=mode)


# ---- which ranges may come by name


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], [0]),
        ([PriorityClass("t", ["/themes/"])], [0, 1]),
        ([PriorityClass("t", ["/themes/", "/mu/"]), PriorityClass("u", ["*"], "newest")], [0, 0, None]),
        ([PriorityClass("t", ["/themes/"], "smallest"), PriorityClass("u", ["*"])], [None, 1]),
        ([PriorityClass("t", ["*.php"]), PriorityClass("u", ["*"])], [None]),
    ],
)
def test_ranges_whose_files_are_wanted_in_order_of_their_names(classes, expected):
    priority = Priority(classes)
    assert priority.ranks_by_name() == expected
    assert len(priority.ranges()) == len(expected)


@pytest.mark.parametrize(
    ("seen", "shown", "mtime"),
    [
        (a_file(mtime=7_000), a_file(mtime=7_999), 7_999),
        (a_file(mtime=7_001), a_file(mtime=7_999), 7_001),
        (a_file(mtime=8_000), a_file(mtime=7_999), 8_000),
        (a_file(mtime=7_000), a_file(mtime=7_999)._replace(content=b"2" * 32), 7_000),
        (a_file(mtime=7_999), a_file(mtime=7_999), 7_999),
        (a_file(mtime=7_000), None, 7_000),
        (a_link(7_000), a_link(7_999), 7_999),
    ],
)
def test_times_of_a_coarse_file_system_are_no_change(seen, shown, mtime):
    policy = FolderPolicy(WORDPRESS, IGNORE, stored_mtime=lambda time: time - time % 1_000)
    assert policy.normalise(seen, shown) == seen._replace(mtime=mtime)


def test_a_policy_takes_other_classes_and_ignore_rules() -> None:
    policy = FolderPolicy(Priority(), Patterns(["/a/"]))
    assert policy.ignored(b"a", True)
    policy.become(Priority([PriorityClass("first", ["/b"])]), Patterns(["/c"]))
    assert not policy.ignored(b"a", True)
    assert policy.ignored(b"c", False)
    assert policy.place(b"b", None)[0] == 0
    assert policy.place(b"d", None)[0] == 1
