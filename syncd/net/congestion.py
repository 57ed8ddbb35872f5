"""How TCP reacts to losses on a long way: by what it can measure there, not by each lost packet.

CUBIC, the usual choice, slows down at losses, whatever they come from: one packet in 200, at 100 ms there and back,
leaves a connection some 2 Mbit/s of any line. BBR (Cardwell et al., 2016) looks at rate and delay instead. On short
ways CUBIC recovers at once, and BBR's pacing costs more than it gains: so it is chosen only where the way is long.
"""

import socket
import struct
from typing import Any, Final

LONG_WAY: Final = 0.02  # seconds there and back from which on the reaction to losses decides about the rate
_ALGORITHM: Final = b"bbr"
_INFO_SIZE: Final = 104  # bytes of struct tcp_info that every Linux in use has
_RTT_OFFSET: Final = 68  # of tcpi_rtt in it: u32, microseconds
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
_TCP_CONGESTION: Final = getattr(socket, "TCP_CONGESTION", None)


def round_trip(sock: Any) -> float | None:
    """Seconds there and back as the kernel has measured them, or None if it does not say."""
    if _TCP_INFO is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)
    except OSError:
        return None
    if len(info) < _INFO_SIZE:
        return None
    return float(struct.unpack_from("=I", info, _RTT_OFFSET)[0]) / 1e6


def suit(sock: Any) -> bool:
    """Choose for the way that a connection takes; whether BBR was chosen. Where the kernel refuses, all stays as it is.

    A process without CAP_NET_ADMIN may have it if `net.ipv4.tcp_allowed_congestion_control` names it.
    """
    measured = round_trip(sock)
    if measured is None or measured < LONG_WAY or _TCP_CONGESTION is None:
        return False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, _ALGORITHM)
    except OSError:
        return False
    return True
