"""How much room the file system of a folder has."""

import os

from syncd.core.room import Space


def space_of(fd: int) -> Space:
    """Of the file system of an open file. What is kept for root does not count, as in df. Raises OSError."""
    status = os.fstatvfs(fd)
    unit = status.f_frsize
    return Space(status.f_bavail * unit, status.f_blocks * unit, status.f_favail, status.f_files)
