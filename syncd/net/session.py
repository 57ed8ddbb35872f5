"""The asyncio shell around a Connection: feed, drain, transmit, keep alive; one session is one connection.

Messages wait in a queue per priority and are sealed only when the socket takes them, so that control overtakes bulk.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from protocol.connection import Connection, Ended, Established, Received
from protocol.errors import LocalError, ProtocolError
from protocol.messages import Goodbye, Message, Ping, Pong, Priority
from syncd.net.congestion import suit
from syncd.net.limiter import Limits
from syncd.net.weights import weight

HANDSHAKE_DEADLINE: Final = 5.0  # seconds from the TCP connection to the peer's HELLO
PING_INTERVAL: Final = 5.0  # seconds of own silence after which a PING is sent
SILENCE_LIMIT: Final = 15.0  # seconds of the peer's silence after which it is dead
GOODBYE_PATIENCE: Final = 2.0  # seconds that unsent bytes may take to leave a closing session
SOCKET_BUFFER: Final = 1 << 18  # bytes that wait in user space for the socket
# Bytes that wait in the kernel unsent are what control has to queue behind, and what keeps a fast link busy until this
# process gets to writing again: so it is what such a link takes in some milliseconds.
NOT_SENT_LEAST: Final = 1 << 17
NOT_SENT_MOST: Final = 1 << 20
NOT_SENT_SECONDS: Final = 0.01  # of what was written lately
RATE_SECONDS: Final = 0.1  # over which that is measured
INBOX_HIGH: Final = 4 << 20  # bytes of messages not yet looked at above which reading stops
INBOX_LOW: Final = 1 << 20
OUTBOX_LIMIT: Final = 2 << 20  # bytes of one priority above which `send` waits
OUTBOX_ABUSE: Final = 16 << 20  # bytes that nobody waits for above which the peer is too slow: twice what a pull asks
CROWDED: Final = 1 << 20  # bytes of manifest that wait for a peer above which it had better ask than be told
TOGETHER: Final = 1 << 15  # bytes of messages that are sealed and written together: each seal and write costs 20 us
PONGS_WAITING: Final = 16  # control messages above which no PONG joins them: the peer hears of us by those
_TCP_NOTSENT_LOWAT: Final = 25


class SessionEnded(Exception):
    """The session is over; the message is the reason."""


class Session(asyncio.BufferedProtocol):
    """One connection with one peer.

    connection: the protocol state. on_established(session, event) is called once, before any message is delivered; it
    may close the session. on_ended(session, reason) is called exactly once. limits: shared by all sessions of the node.
    """

    def __init__(
        self,
        connection: Connection,
        on_established: Callable[["Session", Established], None],
        on_ended: Callable[["Session", str], None],
        limits: Limits,
        initiator: bool,
    ) -> None:
        self._connection = connection
        self._on_established = on_established
        self._on_ended = on_ended
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._inbox: deque[tuple[Message, int]] = deque()  # with the bytes that each is counted as
        self._inbox_bytes = 0
        self._outbox: tuple[deque[Message], ...] = (deque(), deque(), deque())
        self._outbox_bytes = [0, 0, 0]
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._inbox_full = self._writing_paused = False
        self._pump_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None  # while the download limit holds reading up
        self._timer: asyncio.TimerHandle | None = None
        self._last_received = self._last_sent = self._loop.time()
        self._not_sent, self._written, self._written_since = NOT_SENT_LEAST, 0, self._last_sent
        self.initiator = initiator
        self.established: Established | None = None
        self.address = ""
        self.answered = False  # whether the other side ever sent a byte
        self.reason: str | None = None
        self.error: ProtocolError | None = None  # that ended the session
        self.offended = False  # whether the peer, authenticated, broke the rules
        self.on_pong: Callable[[int], None] = lambda _token: None  # a PING was answered
        self.bytes_in = self.bytes_out = 0

    # ---- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class, but by what it does
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, self._not_sent)
        self._transport.set_write_buffer_limits(high=SOCKET_BUFFER)
        peer = transport.get_extra_info("peername")
        self.address = format_address(scoped(peer), peer[1]) if peer else ""
        self._timer = self._loop.call_later(HANDSHAKE_DEADLINE, self._handshake_late)
        if self.initiator:
            self._write([self._connection.start()])

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads next; it tells of that before it reads for anybody else."""
        return self._connection.incoming

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._connection.incoming[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """These bytes came. They may be overwritten afterwards."""
        if self.reason is not None:
            return
        self.answered = True
        self.bytes_in += len(data)
        self._last_received = self._loop.time()
        self._slow_down(len(data))
        try:
            events = self._connection.receive(data)
        except ProtocolError as error:
            self.error = error
            self.offended = self.established is not None
            self._finish(str(error) or type(error).__name__)
            return
        pending = self._connection.pending()
        if pending:
            self._write([pending])
        share = len(data) // (len(events) or 1)  # objects are views: the least of them keeps all that was read with it
        for event in events:
            if isinstance(event, Received):
                self._deliver(event.message, share)
            elif isinstance(event, Established):
                self._establish(event)
            elif isinstance(event, Ended):
                self._finish(event.reason or "the peer said goodbye")
            if self.reason is not None:
                return

    def eof_received(self) -> bool:
        try:
            self._connection.eof()
        except ProtocolError as error:
            if self.established is not None:
                self._finish(str(error))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self.established is not None:
            self._finish("connection lost")
        elif self.answered:
            self._finish("closed during the handshake")
        else:
            self._finish("closed without an answer")

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._pump()

    # ---- for the node

    async def next_message(self) -> Message:
        """The next message. Raises SessionEnded when there will be none."""
        while not self._inbox:
            if self.reason is not None:
                raise SessionEnded(self.reason)
            self._arrived.clear()
            await self._arrived.wait()
        message, size = self._inbox.popleft()
        self._inbox_bytes -= size
        if self._inbox_full and self._inbox_bytes < INBOX_LOW:
            self._inbox_full = False
            self._resume_reading()
        return message

    def post(self, *messages: Message, rank: Priority | None = None) -> None:
        """Queue messages of one priority without waiting. For those whose number something else bounds.

        rank: if not their own. Small ones that are posted together leave together.
        """
        if self.reason is not None or not messages:
            return
        rank = messages[0].PRIORITY if rank is None else rank
        self._outbox[rank].extend(messages)
        self._outbox_bytes[rank] += sum(map(weight, messages))
        if self._outbox_bytes[rank] > OUTBOX_ABUSE:
            self._finish("the peer does not take what it asked for")
            return
        self._pump()

    async def send(self, *messages: Message, rank: Priority | None = None) -> None:
        """As `post`, but wait for room. Raises SessionEnded."""
        rank = messages[0].PRIORITY if rank is None else rank
        while self._outbox_bytes[rank] > OUTBOX_LIMIT and self.reason is None:
            self._room.clear()
            await self._room.wait()
        if self.reason is not None:
            raise SessionEnded(self.reason)
        self.post(*messages, rank=rank)

    def close(self, reason: str, goodbye: bool = True) -> None:
        """End the session: say goodbye inside the channel, then close."""
        if self.reason is None and self.established is not None and goodbye:
            self._write(self._connection.send(Goodbye(reason)))
        self._finish(reason)

    def drop(self, reason: str) -> None:
        """End the session with a peer that broke the rules."""
        self.offended = True
        self.close(reason)

    @property
    def crowded(self) -> bool:
        """Whether so much of the manifest waits for the peer that nothing more should be pushed."""
        return self._outbox_bytes[Priority.MANIFEST] > CROWDED

    @property
    def unsent(self) -> int:
        """Bytes that are queued or not yet taken by the kernel."""
        buffered = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return sum(self._outbox_bytes) + buffered

    # ---- inside

    def _establish(self, event: Established) -> None:
        self.established = event
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(PING_INTERVAL, self._heartbeat)
        assert self._transport is not None
        suit(self._transport.get_extra_info("socket"))
        self._on_established(self, event)

    def _deliver(self, message: Message, share: int) -> None:
        if isinstance(message, Ping):
            if len(self._outbox[Priority.CONTROL]) < PONGS_WAITING:
                self.post(Pong(message.token))
            return
        if isinstance(message, Pong):
            self.on_pong(message.token)
            return
        size = max(weight(message), share)
        self._inbox.append((message, size))
        self._inbox_bytes += size
        self._arrived.set()
        if self._inbox_bytes > INBOX_HIGH and not self._inbox_full:
            self._inbox_full = True
            self._pause_reading()

    def _slow_down(self, size: int) -> None:
        """Read no further while the download limit is exceeded; TCP then holds the peer up."""
        self._limits.download.take(size)
        delay = self._limits.download.delay()
        if delay > 0 and self._read_timer is None:
            self._read_timer = self._loop.call_later(delay, self._go_on)
            self._pause_reading()

    def _go_on(self) -> None:
        self._read_timer = None
        self._resume_reading()

    def _pause_reading(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        transport = self._transport
        if self._read_timer is not None or self._inbox_full or transport is None or transport.is_closing():
            return
        if not transport.is_reading():
            transport.resume_reading()

    def _pump(self) -> None:
        while not self._writing_paused and self.reason is None and self.established is not None:
            rank = next((n for n, queue in enumerate(self._outbox) if queue), None)
            if rank is None:
                break
            if rank == Priority.BULK and self._throttled():
                break
            messages, size = self._next(rank)
            self._outbox_bytes[rank] -= size
            if rank == Priority.BULK:
                self._limits.upload.take(size)
            try:
                parts = self._connection.send(*messages, compress=rank == Priority.MANIFEST)
            except LocalError as error:
                self._finish(f"a message that cannot be sent: {error}")
                return
            self._write(parts)
        self._room.set()

    def _next(self, rank: int) -> tuple[list[Message], int]:
        """The next messages of a priority, with their weight: several if they are small."""
        queue = self._outbox[rank]
        messages = [queue.popleft()]
        total = weight(messages[0])
        while queue and total + (size := weight(queue[0])) <= TOGETHER:
            messages.append(queue.popleft())
            total += size
        return messages, total

    def _throttled(self) -> bool:
        delay = self._limits.upload.delay()
        if delay <= 0:
            return False
        if self._pump_timer is None:
            self._pump_timer = self._loop.call_later(delay, self._unthrottle)
        return True

    def _unthrottle(self) -> None:
        self._pump_timer = None
        self._pump()

    def _write(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size = sum(len(part) for part in parts)
        self.bytes_out += size
        self._written += size
        self._last_sent = self._loop.time()
        if self._last_sent - self._written_since >= RATE_SECONDS:
            self._suit_rate(self._transport)
        self._transport.writelines(parts)

    def _suit_rate(self, transport: asyncio.Transport) -> None:
        """Let as much wait in the kernel as suits what was written since the last call."""
        rate = self._written / (self._last_sent - self._written_since)
        self._written, self._written_since = 0, self._last_sent
        suits = NOT_SENT_LEAST
        while suits < min(rate * NOT_SENT_SECONDS, NOT_SENT_MOST):
            suits *= 2
        if suits != self._not_sent:
            self._not_sent = suits
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, suits)

    def _heartbeat(self) -> None:
        now = self._loop.time()
        listening = self._read_timer is None and not self._inbox_full
        if now - self._last_received >= SILENCE_LIMIT and listening:
            self._finish(f"silent for {SILENCE_LIMIT:.0f} s")
            return
        if now - self._last_sent >= PING_INTERVAL:
            self.post(Ping(0))
        self._timer = self._loop.call_later(PING_INTERVAL, self._heartbeat)

    def _handshake_late(self) -> None:
        self._finish("no handshake in time" if self.answered else "no answer to the handshake")

    def _finish(self, reason: str) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        for timer in (self._timer, self._pump_timer, self._read_timer):
            if timer is not None:
                timer.cancel()
        for queue in self._outbox:
            queue.clear()
        self._inbox.clear()
        self._arrived.set()
        self._room.set()
        if self._transport is not None:
            if self.established is None:
                self._transport.abort()
            else:
                self._transport.close()
                self._loop.call_later(GOODBYE_PATIENCE, self._transport.abort)
        self._on_ended(self, reason)


def scoped(address: Sequence[Any]) -> str:
    """The address of a socket address; of a link-local one with its interface."""
    scope = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{scope}" if scope and "%" not in address[0] else str(address[0])


def format_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
