"""What a service manager is told: that the node is ready, reads its configuration anew, stops, and still lives.

The protocol is that of sd_notify(3): datagrams to the unix socket that NOTIFY_SOCKET names. Without the variable nobody
is told anything.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Final, Self

import structlog

LONGEST_ADDRESS: Final = 107  # bytes of a unix socket's address, without its end
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_log = structlog.get_logger()


class ServiceManager:
    """sock: connected to the manager; None: there is none. watchdog: seconds within which it wants a sign of life."""

    def __init__(self, sock: socket.socket | None = None, watchdog: float | None = None) -> None:
        self._sock = sock
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """The manager that started this process. Its variables are taken out, so that no child speaks in our name."""
        address, usec, watched = (environment.pop(name, "") for name in _VARIABLES)
        if not address:
            return cls()
        meant = watched in ("", str(pid))
        watchdog = int(usec) / 1e6 if usec.isascii() and usec.isdigit() and int(usec) and meant else None
        sock = None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.connect(_unix_address(address))
        except (OSError, ValueError) as error:
            if sock is not None:
                sock.close()
            reason = getattr(error, "strerror", None) or str(error)
            _log.warning("the service manager cannot be told anything", socket=address, reason=reason)
            return cls()
        return cls(sock, watchdog)

    def ready(self) -> None:
        """The node has started, or has read its configuration anew."""
        self._tell("READY=1", "STATUS=running")

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}", "STATUS=reading the configuration")

    def stopping(self) -> None:
        """The node has begun to stop."""
        self._tell("STOPPING=1", "STATUS=stopping")

    @contextlib.asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """The node is ready, and gives signs of life as long as this lasts."""
        self.ready()
        watching = asyncio.create_task(self.keep_watch())
        try:
            yield
        finally:
            watching.cancel()

    async def keep_watch(self) -> None:
        """Give signs of life for as long as the event loop has time for it; until cancelled."""
        if self.watchdog is None:
            return
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 3)  # one of them may be late, or lost

    def close(self) -> None:
        """Tell no more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _tell(self, *lines: str) -> None:
        if self._sock is None:
            return
        try:
            self._sock.send("\n".join(lines).encode(), socket.MSG_NOSIGNAL)
        except OSError as error:  # a full queue or a manager that restarts; the next message may get through
            _log.debug("the service manager did not hear", message=lines[0], reason=error.strerror)


def _unix_address(text: str) -> bytes:
    """A path, or with @ in front an abstract name. Raises ValueError."""
    address = os.fsencode(text)
    if len(address) > LONGEST_ADDRESS:
        raise ValueError("its address is too long")
    if address.startswith(b"@"):
        return b"\0" + address[1:]
    if not address.startswith(b"/"):
        raise ValueError("only unix sockets are spoken to")
    return address
