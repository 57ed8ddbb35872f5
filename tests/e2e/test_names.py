"""Names are bytes: whatever a file system takes arrives unchanged, and no name ever breaks a line of what we print."""

import json
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import limits
from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, Daemon, differences, open_directory, snapshot
from tests.lab.inside import Inside

LEVELS = [b"d"] * 992 + [b"l" * 255] * 8
LAST = b"f" * 63  # at the end of a path of 4095 bytes
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (debug|info|warning|error) ")
EVIL = [
    b"line\nfeed",
    b"carriage\rreturn",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\"quoted\" 'both' \\ways\\",
    b"-rf",
    b"--",
    b"trailing space ",
    b"trailing dot.",
    b" ",
    b"...",
    b"~",
    b"*?[x]",
    b"$(touch x)",
    b"%s%n",
    b"\xff\xfe\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    "\u202egnp.exe".encode(),
    "\u2028\u2029\u0085".encode(),
    b".syncd-not",
    b"a\\b",
    b"CON",
    b"Foo",
    b"foo",
]


def every_byte(tree: Path) -> None:
    """Each byte value but '/' and NUL: inside, at the start, at the end and alone."""
    directory = os.fsencode(tree) + b"/bytes"
    os.mkdir(directory)
    for value in set(range(1, 256)) - {ord("/")}:
        byte = bytes([value])
        names = [b"x" + byte + b"y", byte + b"first", b"last" + byte, b"" if byte == b"." else byte]
        for name in filter(None, names):
            with open(directory + b"/" + name, "wb") as file:
                file.write(name)
    for number, name in enumerate(EVIL):
        os.makedirs(directory + b"/evil/" + name)
        with open(directory + b"/evil/" + name + b"/" + name, "wb") as file:
            file.write(b"%d" % number)
        os.symlink(name, directory + b"/evil/" + name + b"/link to " + name)


def long_ones(tree: Path) -> None:
    """Names of 255 bytes, and a path of 4095 bytes."""
    root = open_directory(tree)
    try:
        for name in (b"n" * 255, b"\xff" * 255, b"\n" * 255, "é".encode() * 127 + b"x"):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=root))
    finally:
        os.close(root)
    deepen(tree, [b"l" * 255] * 15, b"f" * 255, b"at the end of 4095 bytes")


def twins(tree: Path) -> None:
    """The same name for people in composed and in decomposed form."""
    for name in ("Käse", "Ångström", "한국어"):
        composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        assert composed != decomposed
        (tree / composed).write_text("composed")
        (tree / decomposed).write_text("decomposed")
        (tree / f"{composed}.d").mkdir()
        (tree / f"{decomposed}.d").mkdir()
        (tree / f"{composed}.d" / "x").write_text("composed")


def deepen(tree: Path, names: list[bytes], file: bytes, content: bytes) -> None:
    """Directories in each other, and a file in the innermost; by descriptors, since no path may be that long."""
    here = open_directory(tree)
    for name in names:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    fd = os.open(file, os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(fd, content)
    os.close(fd)
    os.close(here)


@pytest.fixture
def deep() -> Iterator[Path]:
    """A directory that pytest does not know, since it cannot go as deep to remove it."""
    base = Path(tempfile.mkdtemp(prefix="syncd-deep-"))
    yield base
    for tree in base.glob("*/tree"):
        flatten(tree, LEVELS[0])
    shutil.rmtree(base)


def flatten(tree: Path, top: bytes) -> None:
    """Move the directories of a chain up beside each other."""
    root = open_directory(tree)
    chain = [top]
    try:
        while chain:
            here = os.open(chain.pop(), os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
            for name in os.listdir(here):
                if stat.S_ISDIR(os.stat(name, dir_fd=here).st_mode):
                    chain.append(secrets.token_hex(8).encode())
                    os.rename(name, chain[-1], src_dir_fd=here, dst_dir_fd=root)
            os.close(here)
    except FileNotFoundError:
        pass
    finally:
        os.close(root)


def bottom_of(tree: Path) -> int | None:
    """A descriptor of the innermost directory of the chain, for the caller to close; None if there is no chain."""
    try:
        return open_directory(tree, b"/".join(LEVELS))
    except FileNotFoundError:
        return None


def read_bottom(tree: Path) -> bytes | None:
    """What the file at the end of the chain holds; None if it is not there."""
    here = bottom_of(tree)
    if here is None:
        return None
    try:
        with open(os.open(LAST, os.O_RDONLY, dir_fd=here), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    finally:
        os.close(here)


def write_bottom(tree: Path, content: bytes) -> None:
    """Replace what the file at the end of the chain holds."""
    here = bottom_of(tree)
    assert here is not None
    with open(os.open(LAST, os.O_WRONLY | os.O_TRUNC, dir_fd=here), "wb") as file:
        file.write(content)
    os.close(here)


def test_every_name_arrives_unchanged(cluster: Cluster) -> None:
    one = cluster.add("one")
    every_byte(one.tree)
    long_ones(one.tree)
    twins(one.tree)
    expected = snapshot(one.tree)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    assert differences(expected, snapshot(two.tree)) == []
    assert differences(expected, snapshot(one.tree)) == []


@pytest.mark.heavy
async def test_a_thousand_levels(deep: Path) -> None:
    """With paths of up to 4095 bytes. They go across, come back changed, and go again."""
    secret = generate_secret(os.urandom(32))
    one, two = (Inside(deep / name, secret) for name in ("one", "two"))
    deepen(one.tree, LEVELS, LAST, b"deep")
    assert len(b"/".join([*LEVELS, LAST])) == limits.MAX_PATH
    expected = levels(one.tree)
    assert len(expected) == 1_001
    async with one.running(), two.running(settled=False):
        await two.join(one)
        await two.reach(lambda: two.in_sync and read_bottom(two.tree) == b"deep")
        assert levels(two.tree) == expected
        write_bottom(two.tree, b"changed")
        await two.folder.watching.rescan()
        await one.reach(lambda: read_bottom(one.tree) == b"changed")
        above = open_directory(one.tree, b"/".join(LEVELS[:-5]))
        shutil.rmtree(LEVELS[-5], dir_fd=above)
        os.close(above)
        await one.folder.watching.rescan()
        await two.reach(lambda: two.in_sync and len(levels(two.tree)) == len(LEVELS) - 5)
    assert levels(one.tree) == expected[: len(LEVELS) - 5]


def levels(tree: Path) -> list[tuple[bytes, int]]:
    """Name and mode of each level of a chain, from the top, walked to step by step."""
    found = []
    here: int | None = open_directory(tree)
    while here is not None:
        below = None
        for name in map(os.fsencode, os.listdir(here)):
            mode = os.stat(name, dir_fd=here).st_mode
            if name != b".syncd":
                found.append((name, mode))
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here) if stat.S_ISDIR(mode) else None
        os.close(here)
        here = below
    return found


def test_names_created_while_running_arrive_and_go(cluster: Cluster) -> None:
    one = cluster.add("one")
    (one.tree / "first").write_text("first")
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    every_byte(two.tree)
    deepen(two.tree, [b"\x1b[2J\n"] * 50, b"\n", b"deep")
    two.rescan()
    cluster.converge()
    assert differences(snapshot(two.tree), snapshot(one.tree)) == []
    assert b"bytes/evil/" + EVIL[0] + b"/" + EVIL[0] in snapshot(one.tree)
    os.rename(os.fsencode(one.tree) + b"/bytes/evil", os.fsencode(one.tree) + b"/bytes/\r\n")
    one.rescan()
    cluster.converge()
    assert differences(snapshot(one.tree), snapshot(two.tree)) == []
    assert b"bytes/\r\n/" + EVIL[2] in snapshot(two.tree)


def test_no_name_breaks_a_line(cluster: Cluster) -> None:
    one = cluster.add("one")
    for name in EVIL:
        os.mkfifo(os.fsencode(one.tree) + b"/" + name)  # skipped, and therefore named in the status
    (one.tree / "themes").mkdir()
    (one.tree / "themes/x").write_text("x")
    one.start()
    two = cluster.add("two", knows=[one], read_only=True).start()
    cluster.converge()
    os.mkdir(os.fsencode(two.tree) + b"/" + EVIL[2] + EVIL[0])  # a local change, which a read-only node logs
    two.rescan()
    cluster.converge()
    for daemon in (one, two):
        for line in daemon.log.read_text(errors="strict").split("\n")[:-1]:
            assert LOG_LINE.match(line), line
            assert line.isprintable(), line
    problems = one.status()["problems"]
    assert len(problems) == len(EVIL)
    assert all(problem["path"].isprintable() and problem["reason"].isprintable() for problem in problems)
    assert len({problem["path"] for problem in problems}) == len(EVIL)
    assert_one_line_each(one)


def assert_one_line_each(daemon: Daemon) -> None:
    """What `syncd status` prints, both ways."""
    command = [sys.executable, "-m", "syncd.cli", "status", "--config", str(daemon.config)]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert all(line.isprintable() for line in text.split("\n"))
    assert sum("skip" in line for line in text.split("\n")) >= 10
    raw = subprocess.run([*command, "--json"], capture_output=True, check=True).stdout
    assert all(line.isprintable() for line in raw.decode().split("\n"))
    assert len(json.loads(raw)["folders"][0]["problems"]) == len(EVIL)
