"""What a process that knows secrets keeps from the rest of the machine."""

import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def close_to_others() -> None:
    """No core file, and no other process of this user reads our memory or environment. Root still can.

    Not possible on a kernel that refuses it: then the process is as open as any.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # also where core files go to a program, whatever the limit
