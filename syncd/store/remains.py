"""What a file that may have been damaged still has of what it was."""

import os
from collections.abc import Sequence
from typing import Final

from protocol.content import Block, block_id
from syncd.core.damage import Sign
from syncd.store.directories import Directories
from syncd.store.look import OPEN_FILE

_STEP: Final = 1 << 20  # bytes read at once


class Remains:
    """For one thread. block_key: the folder's, 32 bytes."""

    def __init__(self, directories: Directories, block_key: bytes) -> None:
        self._directories = directories
        self._key = block_key

    def look(self, path: bytes, known: Sequence[Block] | None) -> Sign:
        """Look into the file at `path`. known: the blocks of what it was, if there are several. Raises OSError."""
        parent, name = self._directories.parent(path)
        fd = os.open(name, OPEN_FILE, dir_fd=parent)
        try:
            end = _data_end(fd)
            shorter = known and end < known[-1].offset + known[-1].length
            return Sign(end, self._begins(fd, known, end) if known and shorter else None)
        finally:
            os.close(fd)

    def _begins(self, fd: int, known: Sequence[Block], end: int) -> bool | None:
        compared = False
        for block in known:
            if block.offset + block.length > end:
                break
            data = os.pread(fd, block.length, block.offset)
            if block.id is None:
                if data.strip(b"\0"):
                    return False
            elif block_id(self._key, data) != block.id:
                return False
            compared = True
        return True if compared else None


def _data_end(fd: int) -> int:
    """Where the last bytes other than zeros end."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - _STEP)
        data = os.pread(fd, end - start, start).rstrip(b"\0")
        if data:
            return start + len(data)
        end = start
    return 0
