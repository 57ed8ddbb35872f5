"""A peer that holds a secret, of a folder in this process: says what it is told to, and nothing else."""

import itertools
import os

from protocol.connection import Connection, Received
from protocol.handshake import Initiator
from protocol.messages import AskPages, Message, Pages
from tests.hostile.peer import Persona
from tests.lab.inside import Inside


class Guest:
    """Connected as soon as it is made; the folder must run."""

    def __init__(self, inside: Inside, persona: Persona) -> None:
        self._session, self._wire = inside.session()
        self._connection = Connection(Initiator(persona.keys, persona.static_private, os.urandom(32)), persona.hello)
        self._session.data_received(self._connection.start())
        self._connection.receive(self._wire.take())
        self._session.data_received(self._connection.pending())
        self._numbers = itertools.count(1 << 40)
        self.heard()
        assert self._session.established, self._session.reason

    def say(self, *messages: Message) -> None:
        """Have the folder read these."""
        self._session.data_received(b"".join(self._connection.send(*messages)))
        assert self._session.reason is None, self._session.reason

    def heard(self) -> list[Message]:
        """What the folder has said since this was asked last."""
        return [event.message for event in self._connection.receive(self._wire.take()) if isinstance(event, Received)]

    @property
    def reason(self) -> str | None:
        """Why the folder ended the session; None if it has not."""
        return self._session.reason

    async def hear(self) -> list[Message]:
        """As `heard`, but waits until there is something, or the session is over."""
        while not (found := self.heard()) and self._session.reason is None:
            await self._wire.happened.wait()
            self._wire.happened.clear()
        return found

    async def barrier(self) -> None:
        """A round trip behind everything that was said. What was heard meanwhile is lost."""
        number = next(self._numbers)
        self.say(AskPages(number, 0, b"", None))
        while not any(isinstance(message, Pages) and message.id == number for message in self.heard()):
            assert self._session.reason is None, self._session.reason
            await self._wire.happened.wait()
            self._wire.happened.clear()
