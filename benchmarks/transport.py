"""What does a message cost in the sealed stream, by its size? Sealing on one end, opening on the other.

AES-GCM itself does 15 GB/s on one core of the machines this was written on: what is more is copies and calls.
"""

import sys
from collections.abc import Iterator
from typing import Final

from benchmarks.parts import COLUMNS, timed
from benchmarks.report import Options, Report, run
from protocol.noise import CipherState
from protocol.transport import Opener, Sealer

SIZES: Final = (200, 4_096, 65_000, 262_144)  # bytes of a message: control, a small file, a record, a pack
AMOUNT: Final = 64 << 20  # bytes in one run


def measure(options: Options) -> Iterator[Report]:
    """One table: a row per size and direction."""
    rows = {}
    for size in SIZES:
        count = max(10, min(20_000, (1 << 20 if options.tiny else AMOUNT) // size))
        data = bytes(size)
        senders = iter([Sealer(_cipher()) for _ in range(options.runs)])
        rows[f"seal {size}"] = timed(lambda d=data, n=count, s=senders: _seal(next(s), d, n), count, options.runs)
        sealer = Sealer(_cipher())
        stream = [b"".join(sealer.seal([data])) for _ in range(count)]
        rows[f"open {size}"] = timed(lambda stream=stream: _open(stream), count, options.runs)
    binds = "the copy and the call, then the cipher"
    yield Report("transport", "messages through the sealed stream", binds, COLUMNS, rows, [])


def _cipher() -> CipherState:
    cipher = CipherState()
    cipher.initialize_key(bytes(32))
    return cipher


def _seal(sealer: Sealer, data: bytes, count: int) -> None:
    for _ in range(count):
        sealer.seal([data])


def _open(messages: list[bytes]) -> None:
    opener = Opener(_cipher())
    for message in messages:
        opener.feed(message)


if __name__ == "__main__":
    sys.exit(run(measure, __doc__))
