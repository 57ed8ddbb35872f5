"""HAProxy's runtime API over its local socket: which slots a backend has, and what is in them.

Source of the commands and columns: HAProxy's management guide, "show servers state" and "set server".
"""

import asyncio
import ipaddress
from typing import Final, NamedTuple

from syncd.core.slots import Server, Slot

DEADLINE: Final = 3.0  # seconds for a command: HAProxy answers at once, or is gone
MAX_ANSWER: Final = 4 << 20  # bytes: ten thousand servers
_MAINTENANCE: Final = 0x01 | 0x02 | 0x20  # of srv_admin_state: forced, inherited, by the resolver


class Unreachable(Exception):
    """The socket cannot be used; the message says why."""


class Refused(Exception):
    """HAProxy does not do what it is told; the message is its own word."""


class Backend(NamedTuple):
    """slots: in order. named: servers that HAProxy's configuration gives a line of their own."""

    slots: list[Slot]
    named: frozenset[Server]


class Runtime:
    """path: of the socket, which must be allowed `level admin`. backend: its name. prefix: of the slots' names."""

    def __init__(self, path: str, backend: str, prefix: str) -> None:
        self.path = path
        self._backend = backend
        self._prefix = prefix

    async def look(self) -> Backend:
        """The backend as it is. Raises Unreachable, Refused."""
        lines = (await self._ask(f"show servers state {self._backend}")).splitlines()
        names = next((line[2:].split() for line in lines if line.startswith("# ")), [])
        if "srv_admin_state" not in names:
            raise Refused(f"no backend {self._backend}: {' '.join(lines)[:200]}")
        rows = [
            dict(zip(names, line.split(), strict=False)) for line in lines if line and line[0].isdigit() and " " in line
        ]
        servers = [self._slot(row) for row in rows]
        slots = [server for server in servers if self._is_slot(server.name)]
        if not slots:
            raise Refused(f"the backend {self._backend} has no server-template {self._prefix}")
        slots.sort(key=lambda slot: int(slot.name.removeprefix(self._prefix)))
        return Backend(slots, frozenset(server.server for server in servers if not self._is_slot(server.name)))

    async def fill(self, slot: str, server: Server) -> None:
        """Send visitors there. Raises Unreachable, Refused."""
        named = f"{self._backend}/{slot}"
        said = await self._ask(f"set server {named} addr {server.address} port {server.port}")
        if "changed" not in said and "no need to change" not in said:
            raise Refused(said.strip() or "the address was not taken")
        await self._ask(f"enable health {named}")
        await self._ask(f"enable agent {named}")  # refused where the backend has no agent-check, which does not matter
        await self._do(f"set server {named} state ready")

    async def empty(self, slot: str) -> None:
        """No new visitors; requests under way end as usual. Raises Unreachable, Refused."""
        await self._ask(f"disable agent {self._backend}/{slot}")  # its `drain` would end the maintenance
        await self._do(f"set server {self._backend}/{slot} state maint")

    def _is_slot(self, name: str) -> bool:
        number = name.removeprefix(self._prefix)
        return name.startswith(self._prefix) and number.isascii() and number.isdecimal()

    def _slot(self, row: dict[str, str]) -> Slot:
        address = row["srv_addr"] if row["srv_addr"] != "-" else "0.0.0.0"  # noqa: S104 -- a slot that never had one
        filled = not int(row["srv_admin_state"]) & _MAINTENANCE
        return Slot(row["srv_name"], Server(str(ipaddress.ip_address(address)), int(row["srv_port"])), filled)

    async def _do(self, command: str) -> None:
        """A command that says nothing when it is done."""
        said = (await self._ask(command)).strip()
        if said:
            raise Refused(said[:200])

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(DEADLINE):
                reader, writer = await asyncio.open_unix_connection(self.path, limit=MAX_ANSWER)
                try:
                    writer.write(f"{command}\n".encode("ascii"))
                    answer = bytearray()
                    while part := await reader.read(65_536):
                        answer += part
                        if len(answer) > MAX_ANSWER:
                            raise Unreachable(f"{self.path} answers without an end")
                finally:
                    writer.close()
        except TimeoutError:
            raise Unreachable(f"{self.path} does not answer") from None
        except OSError as error:
            raise Unreachable(f"{self.path}: {error.strerror or error}") from None
        said = answer.decode("ascii", "replace")
        if "Permission denied" in said:
            raise Refused(f"{self.path} lacks `level admin`")
        return said
