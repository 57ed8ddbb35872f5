"""Files that are rewritten one after the other until hardly any is what it was: an update of everything, or ransomware.

Each of these changes is a user's edit, and published at once. They are counted, and most files of a folder within
minutes are an alarm.
"""

from typing import Final

WINDOW: Final = 300.0  # seconds within which rewritten files are counted together
SHARE: Final = 80  # percent of the files that are an alarm
FEWEST: Final = 100  # files: of a small folder most may change in an everyday update
MOST_COUNTED: Final = 100_000  # files: some 15 MB; so many within minutes are as bad as any share


class Rewrites:
    """Times: seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._seen: dict[bytes, float] = {}  # keys, the longest ago first
        self._told = False

    def note(self, key: bytes, now: float) -> None:
        """A file was found rewritten."""
        self._seen.pop(key, None)
        self._seen[key] = now
        if len(self._seen) > MOST_COUNTED:
            del self._seen[next(iter(self._seen))]

    def alarm(self, files: int, now: float) -> str | None:
        """What is to be told, once for each time that it happens. files: live ones of the folder."""
        while self._seen and now - next(iter(self._seen.values())) >= WINDOW:
            del self._seen[next(iter(self._seen))]
        number, many = len(self._seen), min(max(FEWEST, files * SHARE / 100), MOST_COUNTED)
        if number < many:
            self._told = self._told and 2 * number >= many
            return None
        if self._told:
            return None
        self._told = True
        return (
            f"{number} of {files} files were rewritten here within {WINDOW / 60:.0f} minutes: if nobody meant that, "
            "stop syncd on this node; what they were before is in the archives of its peers (`syncd archive list`)"
        )
