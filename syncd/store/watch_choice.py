"""Which watcher suits a folder: the kernel's where it tells of all changes, else one that looks again and again."""

from typing import Final

from syncd.store import syscalls
from syncd.store.directories import Directories
from syncd.store.watch import Watcher

# File systems that others change too, of which this kernel hears nothing. FUSE is none of them: it is local as a rule.
NETWORK: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x0BD00BD0: "Lustre",
    0x786F4256: "a folder shared by VirtualBox",
}


def open_watcher(directories: Directories) -> tuple[Watcher | None, str]:
    """The best watcher here, and what it does less well, in a line; None: the folder is only scanned."""
    kind = NETWORK.get(syscalls.file_system_type(directories.root_fd))
    if kind is not None:
        return _polling(directories, f"lies on {kind}")
    from syncd.store.watch_inotify import InotifyWatcher

    try:
        return InotifyWatcher(directories), ""
    except OSError as error:
        return _polling(directories, f"no inotify: {error.strerror or error}")


def _polling(directories: Directories, reason: str) -> tuple[Watcher | None, str]:
    try:
        from syncd.store.watch_polling import PollingWatcher

        return PollingWatcher(directories), f"changes are found by looking again and again ({reason})"
    except (OSError, ImportError):
        return None, f"changes are found by scanning only ({reason})"
