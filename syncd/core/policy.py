"""What the operator decided about paths: the door through which the judgement asks."""

from typing import Protocol

from protocol.edit import Entry


class Policy(Protocol):
    """Ignore rules and priority classes of one folder."""

    def ignored(self, path: bytes, directory: bool) -> bool:
        """Whether the path takes no part in replication here."""

    def place(self, path: bytes, want: Entry | None) -> tuple[int, int]:
        """(rank, order): the class of a path, and its place within the class."""

    def normalise(self, seen: Entry, shown: Entry | None) -> Entry:
        """`seen` less what is local policy here (a fixed file_mode, say) and never counts as a change."""

    def refusal(self, path: bytes, target: bytes) -> str | None:
        """Why a symbolic link with this target is never made nor published here, or None."""

    def too_large(self, thing: Entry | None) -> bool:
        """Whether it is a file that is neither published nor fetched here for its size, and never touched."""

    @property
    def overwrite_changes(self) -> bool:
        """Whether a read-only node reverts local edits (after archiving them) or leaves and reports them."""
