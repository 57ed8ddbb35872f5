"""After an unclean stop: what the disk lost is told apart from what users did.

A power cut may leave a file empty, full of zeros or cut short that was written moments before, and may take back the
latest renames. That is never published: the path is needed again, and what is left goes to the archive like anything
that is displaced. The rule, for what is found while there is doubt (until the first whole scan after the stop):

- A file whose ctime is after the start, or more than WINDOW after the last sign of life, was changed by somebody:
  no power cut does that. (A ctime cannot be set, so copies with old mtimes are users' doing, too.)
- Of the others, those are damaged that are empty or zeros where more was known, or that begin as the known version
  does and then end, or go on with zeros. Where hashes cannot tell how a version begins (one block only), a shorter file
  is damaged if its inode was not touched since it was seen whole.
- If the machine itself went down: what was seen within WINDOW before and is gone, or is an older known version again.
  So is an older known version that was never seen there: it had been placed, and the index lost that it was. And so is
  a known version where nothing is to be: it was removed since, there or here. That can be told once peers have said
  what they know, so nothing is published before (`node/caution.py`).
"""

from collections.abc import Container
from typing import Final, NamedTuple

from protocol.edit import Entry
from protocol.record import Kind
from syncd.core.index import Disk, Index

# ns. What a kernel keeps back (30 s), what the index may have lost of its last commits (30 s), and the longest time
# between two signs of life of an idle node (30 s).
WINDOW: Final = 90_000_000_000
SIGN_OF_LIFE: Final = 1_000_000_000  # ns: least time between two of them

_RUNNING: Final = "running"  # the boot in which the node runs; missing after a clean stop
_ALIVE: Final = "alive"
_DOUBT: Final = "doubt"


class Sign(NamedTuple):
    """What a look into a file told.

    data_end: where its last bytes other than zeros end. begins: whether all before that is how the version seen there
    before begins; None if its hashes cannot tell.
    """

    data_end: int
    begins: bool | None


class Crash(NamedTuple):
    """An unclean stop. Times in ns. first, last: between them it happened, as far as known. started: since."""

    first: int
    last: int
    started: int
    machine: bool  # whether the machine went down as well


class Aftermath:
    """Whether the last stop was clean, and what is in doubt if not; kept in the meta values of an index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._alive = _number(index.meta(_ALIVE))
        self._runs = False
        self.crash: Crash | None = None
        self.cautious = False  # nothing is to be published yet

    def start(self, boot: bytes, now: int) -> None:
        """A run begins. boot: names the time since the machine came up. now: wall clock, ns."""
        running, doubt = self._index.meta(_RUNNING), self._index.meta(_DOUBT)
        if running is not None:
            self.cautious = True
            first, machine = self._alive, running != boot
            if doubt is not None:
                first, machine = min(first, _number(doubt[:8])), machine or doubt[8:] == b"\1"
            doubt = first.to_bytes(8, "big") + bytes([machine])
            self._index.set_meta(_DOUBT, doubt)
        if doubt is not None:
            self.crash = Crash(_number(doubt[:8]), self._alive, now, doubt[8:] == b"\1")
        self._index.set_meta(_RUNNING, boot)
        self._runs = True
        self.note(now)

    def note(self, now: int) -> None:
        """The node runs."""
        if self._runs and abs(now - self._alive) >= SIGN_OF_LIFE:
            self._alive = now
            self._index.set_meta(_ALIVE, now.to_bytes(8, "big"))

    def trust(self) -> None:
        """A peer has answered, or none came: nobody knows better who this is."""
        self.cautious = False

    def scanned(self) -> None:
        """All of the disk was looked at."""
        self.crash = None
        self._index.set_meta(_DOUBT, None)

    def stop(self) -> None:
        """A clean stop. Doubt that was not cleared up stays."""
        self._index.set_meta(_RUNNING, None)


def damage(
    crash: Crash, before: Disk | None, want: Entry | None, superseded: Container[bytes], disk: Disk | None, sign: Sign
) -> str | None:
    """What an unclean stop did to a path, in words; None if what is there is what somebody made of it.

    before: what was seen there last. want: what is shown. superseded: contents that were there earlier still.
    """
    lately = crash.machine and before is not None and before.ctime >= crash.first - WINDOW
    if disk is None:
        return "gone" if lately and before is not None and before.entry.kind is not Kind.DIR else None
    known = before.entry if before is not None else want
    if disk.entry.kind is Kind.DIR or disk.ctime > min(crash.last + WINDOW, crash.started):
        return None
    if known is None:
        return "removed before" if crash.machine and disk.entry.content in superseded else None
    if (disk.entry.kind, disk.entry.content) == (known.kind, known.content):
        return None
    untouched = before is not None and (disk.inode, True) == (before.inode, disk.ctime <= before.ctime)
    if known.size and disk.entry.kind is Kind.FILE:
        if not sign.data_end:
            return "empty" if not disk.entry.size else "full of zeros"
        if sign.data_end < known.size and (sign.begins or (sign.begins is None and untouched)):
            return "cut short"
    shown = want.content if want is not None else b""
    if disk.entry.content not in superseded or disk.entry.content == shown:
        return None
    renamed_back = lately and before is not None and disk.ctime <= before.ctime
    passed_by = before is None or before.entry.content != shown  # more was known of the path than was seen there
    forgotten = crash.machine and passed_by and not untouched and disk.ctime >= crash.first - WINDOW
    return "an older version" if renamed_back or forgotten else None


def _number(stored: bytes | None) -> int:
    return int.from_bytes(stored, "big") if stored else 0
