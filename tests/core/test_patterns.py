import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core import patterns as under_test
from syncd.core.patterns import MAX_PATTERN, MAX_PATTERNS, PatternError, Patterns


def selects(lines, path, directory=False):
    raw = path if isinstance(path, bytes) else path.encode()
    return Patterns(lines if isinstance(lines, list) else [lines]).match(raw, directory)


# --- gitignore's semantics, in tables: "x/" on the right stands for a directory

TABLE = {
    "foo": ("foo foo/ a/foo a/foo/ foo/x a/foo/x/y", "foox xfoo fo a/foox/y"),
    "foo/": ("foo/ a/foo/ foo/x a/foo/x", "foo a/foo foox/"),
    "/foo": ("foo foo/ foo/x", "a/foo a/foo/"),
    "/foo/": ("foo/ foo/x/y", "foo a/foo/ a/foo/x"),
    "a/foo": ("a/foo a/foo/x", "foo b/a/foo"),
    "a/foo/": ("a/foo/ a/foo/x", "a/foo b/a/foo/"),
    "*.log": ("x.log .log a/x.log x.log/ x.log/y", "x.logs log x.log.gz"),
    "/*.log": ("x.log x.log/y", "a/x.log"),
    "a/*": ("a/x a/x/ a/x/y", "a a/ b/a/x"),
    "a/*/c": ("a/b/c a/b/c/d", "a/c a/b/b/c"),
    "*": ("a a/ a/b .x", ""),
    "/*": ("a a/ a/b", ""),
    "**": ("a a/ a/b", ""),
    "/**": ("a a/ a/b", ""),
    "**/": ("a/ a/b b/", "a"),
    "*/": ("a/ a/b b/", "a"),
    "**/foo": ("foo a/foo a/b/foo foo/x", "xfoo a/foox"),
    "**/foo/bar": ("foo/bar a/foo/bar a/foo/bar/x", "foo/a/bar bar"),
    "foo/**": ("foo/x foo/x/ foo/x/y", "foo foo/ a/foo/x"),
    "foo/**/": ("foo/x/ foo/x/y foo/x/y/", "foo/ foo/x"),
    "a/**/b": ("a/b a/x/b a/x/y/b a/b/z", "a/x ab a/xb x/a/b"),
    "a/**/**/b": ("a/b a/x/b a/x/y/b", "a a/x"),
    "a/***/b": ("a/b a/x/y/b", "a/x"),
    "a/**/*.c/**/d": ("a/x.c/d a/b/x.c/e/f/d", "a/x.c a/x.d/d"),
    "a**b": ("ab axxb x/ab", "a/b"),
    "a/x**y": ("a/xy a/xzzy", "a/x/y"),
    "?": ("a x/b é", "ab"),
    "a?c": ("abc x/a.c aéc", "ac abbc a/c"),
    "[ab]c": ("ac bc x/ac", "cc abc c"),
    "[a-c]": ("a b c", "d A ab -"),
    "[!a-c]": ("d - .", "a b c dd"),
    "[^ab]": ("c ^", "a b"),
    "[]a]": ("] a", "b []"),
    "[!]a]": ("b", "] a"),
    "[a-]": ("a -", "b"),
    "[-a]": ("a -", "b"),
    "[--/]": ("- .", ", 0"),
    "[a\\-c]": ("a - c", "b \\"),
    "[\\]]": ("]", "\\"),
    "[a\\]": None,
    "[[:digit:]x]": ("1 x", "a : d"),
    "[![:upper:][:space:]]": ("a", "A"),
    "[é-ü]": ("é ê ü", "a e"),
    "[*?]": ("* ?", "a"),
    "x[a/b]": ("xa xb", "x"),
    "\\*": ("* a/*", "a"),
    "\\#x": ("#x", "x"),
    "#x": ("", "#x x"),
    "\\!x": ("!x", "x"),
    "a\\b": ("ab", "a\\b"),
    "a ": ("a", ""),
    "a.b": ("a.b", "axb"),
    "(a|b)+$": ("(a|b)+$", "a b"),
    "": ("", "a"),
    "   ": ("", "a"),
}


@pytest.mark.parametrize("line", [line for line, rows in TABLE.items() if rows is not None])
def test_table(line):
    yes, no = TABLE[line]
    for path in yes.split():
        assert selects(line, path.rstrip("/"), path.endswith("/")), path
    for path in no.split():
        assert not selects(line, path.rstrip("/"), path.endswith("/")), path


def test_spaces_and_newlines():
    assert selects("a\\ ", "a ")
    assert not selects("a\\ ", "a")
    assert selects("a\\   ", "a ")
    assert not selects("a\\\\ ", "a ")
    assert selects("a\\\\ ", "a\\")
    assert selects("a b", "a b")
    assert selects("a*b", "a\nb")
    assert selects("a?b", "a\nb")
    assert selects("a*b/x", "a\nb/x")
    assert not selects("a", "a\n")


def test_bytes_that_are_not_text():
    assert selects("*.jpg", b"\xff\xfe.jpg")
    assert selects("a?b", b"a\xffb")
    assert not selects("a?b", b"a\xff\xffb")
    assert selects("\udcff", b"\xff")
    assert Patterns(["/\udcff/"]).literal_prefixes() == [b"\xff"]


@pytest.mark.parametrize(
    ("lines", "yes", "no"),
    [
        (["*.log", "!keep.log"], "a.log", "keep.log a/keep.log"),
        (["!keep.log", "*.log"], "a.log keep.log", "a"),
        (["*", "!/a/", "!/a/**"], "b b/x", "a/ a/x a/x/y"),
        (["*", "!/a/"], "a/x b", "a/"),
        (["a/", "!a/b"], "a/ a/b", "b"),
        (["/*", "!/a", "/a/*", "!/a/b"], "c a/c a/c/d", "a/ a/b a/b/c"),
        (["a", "!a", "a"], "a", "b"),
        (["a*", "!ab", "abc"], "a ac abc", "ab"),
        (["x", "!x/"], "x", "x/ x/y"),
        (["!a"], "", "a b"),
        (["", "# no", "a"], "a", "b"),
        (["foo", "*.c", "bar", "/only/top"], "foo x/y.c bar only/top", "only/topp c x/only/top"),
    ],
)
def test_lists(lines, yes, no):
    patterns = Patterns(lines)
    for path in yes.split():
        assert patterns.match(path.rstrip("/").encode(), path.endswith("/")), path
    for path in no.split():
        assert not patterns.match(path.rstrip("/").encode(), path.endswith("/")), path


def test_no_lines():
    assert not Patterns().match(b"a/b", False)
    assert Patterns().confined
    assert Patterns(["", "#", "!x"]).selects_nothing


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[", "'\\['"), ("a[b", "'\\['"), ("[]", "'\\['"), ("[!", "'\\['"), ("[a\\", "backslash"), ("[a-", "'\\['"),
        ("[[:nope:]]", "unknown character class"), ("[[:alpha", "unknown character class"), ("[z-a]", "range"),
        ("a\\", "backslash"), ("\\", "backslash"), ("a\\/b", "slash"), ("a\0b", "NUL"), ("[\0]", "NUL"),
        ("/", "empty component"), ("!", "empty component"), ("!/", "empty component"), ("//", "empty component"),
        ("a//b", "empty component"), ("//a", "empty component"), ("a//", "empty component"),
        ("./a", "never applies"), ("a/../b", "never applies"), ("..", "never applies"), ("\\./a", "never applies"),
    ],
)  # fmt: skip
def test_errors_name_the_pattern(line, reason):
    with pytest.raises(PatternError) as caught:
        Patterns(["fine", line])
    assert repr(line) in str(caught.value)
    assert reason in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_bounds():
    Patterns(["x" * MAX_PATTERN])
    with pytest.raises(PatternError, match="1025 characters"):
        Patterns(["x" * (MAX_PATTERN + 1)])
    Patterns(["x"] * MAX_PATTERNS)
    with pytest.raises(PatternError, match="1025 patterns"):
        Patterns(["x"] * (MAX_PATTERNS + 1))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a" * 500 + "b", b"a" * 255),
        ("?*" * 500 + "b", b"a" * 255),
        ("[a-z]*" * 150 + "Z", b"a" * 255),
        ("**/" * 300 + "x", b"/".join([b"a"] * 1_000)),
        ("**/*a*/" * 100 + "x", b"/".join([b"a" * 10] * 300)),
    ],
)
def test_no_pattern_takes_exponential_time(line, path):
    """One that did would not come back within the age of the universe."""
    assert not Patterns([line]).match(path, False)


# --- what the manifest descent asks


@pytest.mark.parametrize(
    ("lines", "prefixes", "confined"),
    [
        (["/themes/"], [b"themes"], True),
        (["/themes/", "/mu-plugins/"], [b"themes", b"mu-plugins"], True),
        (["/themes/", "/themes"], [b"themes"], True),
        (["/a/b/c"], [b"a/b/c"], True),
        (["a/b"], [b"a/b"], True),
        (["/themes/*"], [b"themes"], True),
        (["/themes/*/style.css"], [b"themes"], True),
        (["/themes/**"], [b"themes"], True),
        (["/my\\ theme\\*/"], [b"my theme*"], True),
        (["/themes/", "!/themes/old/"], [b"themes"], True),
        (["/themes/", "*.css"], [b"themes"], False),
        (["/t*/x"], [], False),
        (["themes/"], [], False),
        (["**/themes/x"], [], False),
        (["*"], [], False),
        (["/[t]hemes"], [], False),
    ],
)
def test_literal_prefixes(lines, prefixes, confined):
    patterns = Patterns(lines)
    assert patterns.literal_prefixes() == prefixes
    assert patterns.confined is confined


@pytest.mark.parametrize(
    ("lines", "everything"),
    [
        (["*"], True), (["/*"], True), (["**"], True), (["/**"], True), (["**/*"], True), (["a", "*"], True),
        (["*", "!a"], False), (["*/"], False), (["?*"], False), (["/a/**"], False), (["*/*"], False), ([], False),
        (["*.*"], False),
    ],
)  # fmt: skip
def test_selects_everything(lines, everything):
    assert Patterns(lines).selects_everything is everything


# --- against a slow matcher that knows no expressions, no parser and no cache

ALPHABET = "ab.]é\udcff"
NAMES = st.text(ALPHABET, min_size=1, max_size=3).filter(lambda n: n not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=5)
RANGES = st.tuples(st.sampled_from(ALPHABET), st.sampled_from(ALPHABET)).map(lambda pair: (min(pair), max(pair)))
ATOMS = st.one_of(
    st.sampled_from(ALPHABET), st.sampled_from(ALPHABET), st.just("*"), st.just("?"),
    st.tuples(st.booleans(), st.lists(RANGES, min_size=1, max_size=2)),
)  # fmt: skip
SPAN = ["*", "*"]
COMPONENTS = st.one_of(st.just(SPAN), st.lists(ATOMS, min_size=1, max_size=4)).filter(
    lambda c: c not in (["."], [".", "."])
)
LINES = st.tuples(st.booleans(), st.booleans(), st.lists(COMPONENTS, min_size=1, max_size=4), st.booleans())


def written(line):
    negated, rooted, components, directories_only = line
    body = "/".join("".join(map(written_atom, component)) for component in components)
    return "!" * negated + "/" * rooted + body + "/" * directories_only


def written_atom(atom):
    if isinstance(atom, tuple):
        inverted, ranges = atom
        return "[" + "!" * inverted + "".join(f"\\{low}-\\{high}" for low, high in ranges) + "]"
    return atom


def fits(atoms, name):
    if not atoms:
        return not name
    first, *rest = atoms
    if first == "*":
        return any(fits(rest, name[n:]) for n in range(len(name) + 1))
    if not name:
        return False
    if isinstance(first, tuple):
        inverted, ranges = first
        return any(low <= name[0] <= high for low, high in ranges) != inverted and fits(rest, name[1:])
    return first in ("?", name[0]) and fits(rest, name[1:])


def spans(component):
    return len(component) > 1 and all(atom == "*" for atom in component)


def applies(components, names):
    if not components:
        return not names
    first, *rest = components
    if spans(first):
        return any(applies(rest, names[n:]) for n in range(not rest, len(names) + 1))
    return bool(names) and fits(first, names[0]) and applies(rest, names[1:])


def reference(lines, names, directory):
    for depth in range(1, len(names) + 1):
        verdict = False
        is_directory = directory or depth < len(names)
        for negated, rooted, components, directories_only in lines:
            if directories_only and not is_directory:
                continue
            if rooted or len(components) > 1:
                hit = applies(components, names[:depth])
            else:
                hit = fits(components[0], names[depth - 1])
            if hit:
                verdict = not negated
        if verdict:
            return True
    return False


@given(st.lists(LINES, min_size=1, max_size=4), st.lists(PATHS, min_size=1, max_size=8), st.booleans())
@example([(False, False, [["a"], SPAN, ["b"]], False)], [["a", "b"], ["a", "a", "b"]], False)
def test_the_same_as_the_slow_matcher(lines, paths, directory):
    patterns = Patterns([written(line) for line in lines])
    for _ in range(2):
        for names in paths:
            raw = "/".join(names).encode("utf-8", "surrogateescape")
            assert patterns.match(raw, directory) == reference(lines, names, directory), (names, patterns._lines)


def test_the_same_as_the_slow_matcher_over_a_forest():
    draw = random.Random(1)
    hits = 0
    for _ in range(150):
        lines = [
            (draw.random() < 0.3, draw.random() < 0.4,
             [draw.choice((SPAN, ["*"], ["a"], ["b"], ["a", "*"], ["*", "b"], ["?", "b"], [(True, [("a", "a")])]))
              for _ in range(draw.randint(1, 4))], draw.random() < 0.3)
            for _ in range(draw.randint(1, 6))
        ]  # fmt: skip
        patterns = Patterns([written(line) for line in lines])
        for _ in range(60):
            names = [draw.choice(("a", "b", "ab", "ba", "bb", "c")) for _ in range(draw.randint(1, 5))]
            directory = draw.random() < 0.5
            expected = reference(lines, names, directory)
            assert patterns.match("/".join(names).encode(), directory) == expected
            hits += expected
    assert 1000 < hits < 8000


# --- memory and time


def test_what_is_forgotten_is_found_again(monkeypatch):
    monkeypatch.setattr(under_test, "MAX_REMEMBERED", 3)
    patterns = Patterns(["a/**/b/", "*.log", "/c/d/e", "!keep.log"])
    plain = Patterns(["a/**/b/", "*.log", "/c/d/e", "!keep.log"])
    paths = [f"{p}{tail}".encode() for p in ("", "a/", "a/x/", "a/b/", "c/", "c/d/", "c/d/e/", "z/y/x/w/")
             for tail in ("b", "x.log", "keep.log", "e", "b/q")]  # fmt: skip
    monkeypatch.setattr(under_test, "MAX_REMEMBERED", 4096)
    expected = {path: plain.match(path, True) for path in paths}
    monkeypatch.setattr(under_test, "MAX_REMEMBERED", 3)
    for _ in range(3):
        for path in paths:
            assert patterns.match(path, True) == expected[path]
            assert len(patterns._places) <= 3 + max(path.count(b"/") for path in paths)
            assert len(patterns._known) <= 3


def test_a_very_deep_path():
    deep = b"/".join([b"a"] * 2000)
    assert not Patterns(["/b", "x"]).match(deep, False)
    assert Patterns(["a/**/b"]).match(deep + b"/b", False)


@pytest.mark.parametrize(
    "line",
    [
        "*a" * 300 + "b",
        "**/" * 300 + "x",
        "**/a*/" * 100 + "b",
        "a/" + "**/*a*/" * 60 + "b",
        "?*" * 300 + "[bc]",
        "*a" * 40 + "b",
        "?*" * 40 + "[bc]",
        "**/" + "*a*" * 20 + "b/x",
        "*" * 900,
    ],
)
def test_no_name_makes_matching_explode(line):
    """Would not end within the age of the universe if an expression could backtrack freely."""
    patterns = Patterns([line])
    expected = line == "*" * 900
    assert patterns.match(b"a" * 255, False) is expected
    assert patterns.match(b"/".join([b"a" * 20] * 100), False) is expected
