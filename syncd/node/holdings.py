"""Every place on this machine that has a content: the files of the tree, then what lies in the archive.

A content that was displaced may be shown again later, when what displaced it is deleted; then the archive of one node
is the only place that has its bytes, and every peer gets them from there.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Final

from protocol.paths import to_path
from syncd.store.archive import Archive
from syncd.store.contents import Contents
from syncd.store.directories import Directories
from syncd.store.look import OPEN_FILE

PLACES: Final = 4  # places of one content that are tried: each may have changed since it was last seen


class Holdings:
    """For one thread. contents, directories: of that thread."""

    def __init__(self, contents: Contents, directories: Directories, archive: Archive) -> None:
        self._contents = contents
        self._directories = directories
        self._archive = archive

    @property
    def bare(self) -> bool:
        """Whether nothing would be found, whatever is looked for: a first sync goes on, and the archive is empty."""
        return not self._contents.searchable and self._contents.archive_is_empty()

    def open(self, content: bytes) -> Iterator[int]:
        """Open descriptors of files that should have the content; each is closed when the next one is asked for.

        What is read has to be hashed: files change, and half of an id was compared.
        """
        for key, _ in self._contents.files_with(content)[:PLACES]:
            try:
                parent, name = self._directories.parent(to_path(key))
                fd = os.open(name, OPEN_FILE, dir_fd=parent)
            except OSError:
                continue
            yield from _lend(fd)
        for archived in self._contents.archive_find_content(content)[:PLACES]:
            try:
                fd = os.open(archived.item.name, OPEN_FILE, dir_fd=self._archive.fd)
            except OSError:
                continue
            yield from _lend(fd)

    def read(self, content: bytes, offset: int, length: int, *, whole: bool = False) -> Iterator[bytes]:
        """`length` bytes at `offset` of files that should have the content; whole: also what ends before."""
        for fd in self.open(content):
            try:
                data = os.pread(fd, length, offset)
            except OSError:
                continue
            if whole or len(data) == length:
                yield data

    def which_are_here(self, blocks: Sequence[bytes]) -> set[bytes]:
        """Those of these blocks for which there are `places`."""
        return self._contents.which_are_here(blocks)

    def places(self, block: bytes) -> list[tuple[bytes, int, int]]:
        """(content, offset, length) of files, here or in the archive, that should have a block."""
        found = self._contents.find_block(block)
        if not found:
            sizes = [archived.item.size for archived in self._contents.archive_find_content(block)[:1]]
            found = [(block, 0, size) for size in sizes]
        return found[:PLACES]


class LastFile:
    """The file that was read last, kept open: blocks are mostly asked for by the file. A context manager."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._content = b""
        self._fd: int | None = None

    def __enter__(self) -> "LastFile":
        return self

    def __exit__(self, *error: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def read(self, content: bytes, offset: int, length: int) -> bytes | None:
        """`length` bytes at `offset` of a file that should have the content, or None. They have to be hashed."""
        if content != self._content:
            self.__exit__()
            self._content = content
            self._fd = next((os.dup(fd) for fd in self._holdings.open(content)), None)
        if self._fd is None:
            return None
        try:
            data = os.pread(self._fd, length, offset)
        except OSError:
            return None
        return data if len(data) == length else None


def _lend(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
