"""A holder of the secret that says nearly the right thing, thousands of times: to a real folder, over a real session.

    python -m tests.hostile.test_fuzz --count 1000000 --seed 7

A reader can author nothing, so whatever it says, the manifest must stay as it is to the bit. A writer can; of what it
says each message that is refused must leave the manifest as it was before that message.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from protocol.connection import Connection, Established, Event, Received
from protocol.errors import RemoteError
from protocol.handshake import Initiator
from protocol.keys import derive_read_only, generate_secret
from protocol.messages import AskPages, AskRecords, Get, Goodbye, Message, Pages
from syncd.net.session import Session
from tests.hostile.grammar import Grammar
from tests.hostile.peer import Persona
from tests.lab.inside import Inside, Wire

READER_MESSAGES = 15_000
WRITER_MESSAGES = 5_000
BURST = 8  # messages of a reader between two looks
PATIENCE = 30.0  # seconds without an answer after which the folder hangs
HANG_UP = 0.02  # chance per burst that the peer vanishes in the middle of a message
BARRIER = 1 << 40  # id of the request whose answer shows that all before was taken in
PROGRESS = 50_000  # messages between two lines about a long run
KEPT = 32  # latest requests of the folder that are answered


@dataclass
class Tally:
    """What became of it."""

    messages: int = 0
    sessions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of drops

    @property
    def drops(self) -> int:
        return self.reasons.total()


class Fuzzer:
    """One persona against one folder, session after session."""

    def __init__(self, inside: Inside, persona: Persona, seed: int) -> None:
        self.inside = inside
        self.persona = persona
        self.grammar = Grammar(seed, persona)
        self.tally = Tally()
        self.session: Session | None = None
        self.wire = Wire()
        self.connection: Connection | None = None
        self.kind = -1  # of the latest message
        self.barrier = BARRIER  # the latest request of which an answer tells that all before it was taken in
        self.passed = 0  # the latest of these that was answered
        self._heard_at = b"", set[bytes]()  # root of the manifest, and what it held of others then

    async def run(self, count: int, burst: int) -> None:
        """Say `count` messages; look every `burst` messages whether the folder is well."""
        told = 0
        while self.tally.messages < count:
            if self.tally.messages - told >= PROGRESS:
                told = self.tally.messages
                print(f"{told} of {count} messages, {self.tally.sessions} sessions", flush=True)
            before = self._known()
            if self.session is None:
                self._connect()
            self.barrier += 1
            self._say(burst)
            await self._settled()
            self._judge(before, burst)
            if self.session is not None and self.grammar.random.random() < HANG_UP:
                self._hang_up()

    def _hang_up(self) -> None:
        """End in the middle of a message."""
        assert self.session is not None
        assert self.connection is not None
        link = self.connection._link
        assert link is not None
        frame = self.grammar.frame()
        sealed = b"".join(link.sealer.seal([frame[: self.grammar.random.randrange(len(frame))] + b"\x15"]))
        self.session.data_received(sealed[: self.grammar.random.randrange(len(sealed) + 1)])
        self.session.eof_received()
        self.session.connection_lost(None)
        self.session = None

    def _connect(self) -> None:
        self.session, self.wire = self.inside.session()
        initiator = Initiator(self.persona.keys, self.persona.static_private, secrets.token_bytes(32))
        self.connection = Connection(initiator, self.persona.hello)
        self.session.data_received(self.connection.start())
        self._take()
        assert self.session.established, self.session.reason
        self.tally.sessions += 1
        self.grammar.requests.clear()

    def _say(self, burst: int) -> None:
        assert self.session is not None
        assert self.connection is not None
        link = self.connection._link
        assert link is not None
        for _ in range(burst):
            self.tally.messages += 1
            frame = self.grammar.frame()
            self.kind = frame[0]
            self.session.data_received(b"".join(link.sealer.seal([frame])))
            if self.session.reason is not None:
                return
        self.session.data_received(b"".join(self.connection.send(AskPages(self.barrier, 0, b"", None))))

    async def _settled(self) -> None:
        """Wait until the folder has taken in all that was said, or has dropped the session."""
        assert self.session is not None
        await asyncio.sleep(0)  # where it was dropped at once, its tasks have to hear of that
        async with asyncio.timeout(PATIENCE):
            while self.passed < self.barrier and self.session.reason is None:
                await self.wire.happened.wait()
                self.wire.happened.clear()
                self._take()

    def _known(self) -> set[bytes]:
        """What the manifest holds of others."""
        root = self.inside.root
        if self._heard_at[0] != root:
            self._heard_at = root, self.inside.heard()
        return self._heard_at[1]

    def _judge(self, before: set[bytes], burst: int) -> None:
        assert self.session is not None
        reason = self.session.reason
        if reason is None:
            return
        farewell = self.kind == Goodbye.TYPE  # that of another message, with a body that is one by chance
        assert self.session.offended or farewell, f"ended for another reason than a broken rule: {reason}"
        if burst == 1 or self.persona.keys.folder_signing is None:
            kept = self._known() - before
            assert not kept, f"something was kept of what was refused: {reason}"
        self.tally.reasons[reason] += 1
        self.session = None

    def _take(self) -> None:
        """Read what the folder says, as far as it helps to lie better."""
        assert self.session is not None
        assert self.connection is not None
        while data := self.wire.take():
            try:
                events = self.connection.receive(data)
            except RemoteError as error:
                raise AssertionError(f"the folder itself broke the rules: {error}") from error
            pending = self.connection.pending()
            if pending:
                self.session.data_received(pending)
            for event in events:
                self._heard(event)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Established) or not isinstance(event, Received):
            return
        message: Message = event.message
        if isinstance(message, Pages) and message.id == self.barrier:  # others are answers to what was said by chance
            self.passed = message.id
        requests = self.grammar.requests.setdefault(type(message), [])
        requests.append(message)
        del requests[:-KEPT]
        if isinstance(message, Get):
            self.grammar.ids += [id_ for id_ in message.ids if id_ not in self.grammar.ids]
            del self.grammar.ids[1:-KEPT]


def learn(grammar: Grammar, inside: Inside) -> None:
    """Tell the grammar true records and keys of the folder."""
    for message in inside.shop.library.records(AskRecords(1, b"", None, ())):
        for raw, number in message.records:
            grammar.records.append((list(message.proofs[number]), [raw]))
    grammar.ids += [grammar.persona.content_id(b"small")]
    grammar.objects[grammar.persona.content_id(b"small")] = b"small"


async def campaign(base: Path, seed: int, readers: int, writers: int) -> list[Tally]:
    """Both campaigns, against one folder."""
    secret = generate_secret(secrets.token_bytes(32))
    inside = Inside(base, secret)
    (inside.tree / "uploads").mkdir()
    (inside.tree / "uploads/small").write_bytes(b"small")
    (inside.tree / "uploads/large").write_bytes(bytes(range(256)) * 1_000)
    tallies = []
    with capture_logs() as logs:
        async with inside.running():
            for persona, count, burst in (
                (Persona.of(derive_read_only(secret)), readers, BURST),
                (Persona.of(secret), writers, 1),
            ):
                fuzzer = Fuzzer(inside, persona, seed)
                learn(fuzzer.grammar, inside)
                root = inside.root
                await fuzzer.run(count, burst)
                if persona.keys.folder_signing is None:
                    assert inside.root == root, "a reader changed the manifest"
                tallies.append(fuzzer.tally)
                seed += 1
    faults = [entry for entry in logs if entry["log_level"] == "error"]
    assert not faults, faults[:3]
    return tallies


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.heavy)])
async def test_nothing_that_a_peer_says_hurts(tmp_path: Path, share: int) -> None:
    """share: the part of all messages that is said."""
    structlog.reset_defaults()
    reader, writer = await campaign(tmp_path, share, READER_MESSAGES // share, WRITER_MESSAGES // share)
    assert reader.messages >= READER_MESSAGES // share
    assert 1_000 // share < reader.drops < reader.messages, "the grammar says too much that is wrong, or too little"
    assert 1_000 // share < writer.drops < writer.messages
    assert len(reader.reasons) > 40, "the same few rules are broken again and again"


def report(tallies: list[Tally]) -> Iterator[str]:
    for name, tally in zip(("reader", "writer"), tallies, strict=True):
        yield f"{name}: {tally.messages} messages, {tally.sessions} sessions, {tally.drops} drops"
        yield from (f"  {count:7} {reason}" for reason, count in tally.reasons.most_common(60))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        began, used = time.monotonic(), time.process_time()
        tallies = asyncio.run(campaign(Path(base), options.seed, options.count * 3 // 4, options.count // 4))
        print("\n".join(report(tallies)))
        print(f"{time.monotonic() - began:.1f} s, {time.process_time() - used:.1f} s of processor time")


if __name__ == "__main__":
    sys.exit(main())
