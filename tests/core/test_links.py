"""Which symbolic links take part, and what becomes of those that do not."""

import pytest

from protocol.record import Kind
from syncd.core.links import ABSOLUTE, ANY, ESCAPING, RULES
from syncd.core.patterns import Patterns
from syncd.core.priority import FolderPolicy, Priority
from tests.core.bench import Author, Bench, directory, file, in_step, link


@pytest.mark.parametrize(
    ("path", "target", "reason"),
    [
        (b"a", b"b", None),
        (b"a", b"b/c/../d", None),
        (b"a", b"./b", None),
        (b"a", b".", None),
        (b"a", b"b//c", None),
        (b"a", b"..b", None),
        (b"a", b"...", None),
        (b"d/a", b"..", None),
        (b"d/a", b"../b", None),
        (b"d/e/a", b"../../b/../c", None),
        (b"a", b"\xff\x1b\n", None),
        (b"a", b"b/.syncd", None),
        (b"a", b"/", ABSOLUTE),
        (b"a", b"/etc/passwd", ABSOLUTE),
        (b"a", b"//b", ABSOLUTE),
        (b"a", b"..", ESCAPING),
        (b"a", b"../folder/b", ESCAPING),
        (b"a", b"b/../../c", ESCAPING),
        (b"d/a", b"../..", ESCAPING),
        (b"d/a", b"x/../../../y", ESCAPING),
        (b"d/a", b"./.././../y", ESCAPING),
        (b"a", b"../" * 1365, ESCAPING),
        (b"a", b".syncd/archive", ESCAPING),
        (b"d/a", b"../.syncd", ESCAPING),
    ],
)
def test_rules(path: bytes, target: bytes, reason: str | None) -> None:
    assert RULES["inside"](path, target) == reason
    assert RULES["all"](path, target) is None
    assert RULES["none"](path, target) == ANY


def policy(rule: str) -> FolderPolicy:
    return FolderPolicy(Priority(()), Patterns([]), symlinks=rule)


@pytest.mark.parametrize(("rule", "made"), [("all", [b"in", b"out"]), ("inside", [b"in"]), ("none", [])])
def test_refused_links_of_peers_are_never_needed(rule: str, made: list[bytes]) -> None:
    bench = Bench(policy=policy(rule))
    author = Author(1)
    effects = bench.receive(author.edit(b"in", link(b"f")), author.edit(b"out", link(b"/etc")))
    assert sorted(effects.news) == [b"in", b"out"], "the manifest holds and passes on what others have"
    assert bench.needs() == made
    assert [path for path, _ in bench.apply_all()] == made
    assert bench.see({b"out": None} if b"out" not in made else {}).published == []


def test_a_file_that_gave_way_to_a_refused_link_stays_and_is_nobodys_deletion() -> None:
    bench = in_step({b"f": file(1)}, policy=policy("none"))
    known = bench.state(b"f")
    bench.receive(Author(1).edit(b"f", link(b"x"), known, file(1), stamp=1 << 62))
    assert bench.needs() == []
    assert bench.row(b"f").disk.entry == file(1)
    assert bench.see({b"f": file(1)}).published == []
    assert bench.see({b"f": None}).published == [], "who deletes it has not seen the link"
    assert bench.needs() == []
    assert bench.said(bench.see({b"f": file(2)})) == [(Kind.FILE, b"f")]


def test_what_replaces_a_refused_link_is_needed() -> None:
    bench = Bench(policy=policy("none"))
    author = Author(1)
    first = author.edit(b"f", link(b"x"))
    bench.receive(first)
    bench.receive(author.edit(b"f", file(1), (first,), link(b"x")))
    assert bench.needs() == [b"f"]


def test_a_directory_in_place_of_a_refused_link() -> None:
    bench = Bench(policy=policy("inside"))
    author = Author(1)
    bench.receive(author.edit(b"d", link(b"/etc")), author.edit(b"d/f", file(1)), author.edit(b"e", directory()))
    assert b"d/f" in bench.needs()
