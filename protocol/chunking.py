"""Where a file is cut into blocks: by its own contents, so that an insertion moves cuts only around itself.

The cut is FastCDC (Xia et al., 2020) with normalization 1 and the paper's own gear table: the same bytes are cut the
same way by every node. Files of up to SMALL_FILE bytes are one block and are not cut. Holes are not looked for here:
the runs of data between them are cut each by itself.
"""

from collections.abc import Iterable, Iterator

from pyfastcdc import FastCDC

from protocol import limits


def cut(data: bytes | bytearray | memoryview, final: bool) -> list[int]:
    """The lengths in bytes of the blocks at the beginning of `data` that no byte behind it can change.

    data: from the start of a block on. final: nothing follows, so the lengths add up to all of it. Otherwise less than
    MAX_BLOCK bytes are left, which the caller passes again with what follows.
    """
    # An object of its own for every call: they are cheap to make, and not to be shared between threads.
    cutter = FastCDC(
        limits.AVERAGE_BLOCK, min_size=limits.MIN_BLOCK, max_size=limits.MAX_BLOCK, normalized_chunking=1, seed=0
    )
    lengths: list[int] = [chunk.length for chunk in cutter.cut_buf(data)]
    # A cut at the end of the data is only where the data ends, unless the block is full.
    if not final and lengths and lengths[-1] < limits.MAX_BLOCK:
        lengths.pop()
    return lengths


def blocks(buffers: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
    """The blocks of a run of data that comes in buffers of any size.

    Holds less than MAX_BLOCK bytes and one buffer. What is yielded stays valid.
    """
    held = bytearray()
    for buffer in buffers:
        held += buffer
        if len(held) >= limits.MAX_BLOCK:
            data = memoryview(bytes(held))
            lengths = cut(data, False)
            yield from _slices(data, lengths)
            del held[: sum(lengths)]
    data = memoryview(bytes(held))
    yield from _slices(data, cut(data, True))


def _slices(data: memoryview, lengths: list[int]) -> Iterator[memoryview]:
    start = 0
    for length in lengths:
        yield data[start : start + length]
        start += length
