"""All messages: the table of their types, and the two ways through it."""

from typing import Final

from protocol.bulk_messages import Cancel, Get, Have, ObjectKind, Objects
from protocol.control_messages import Goodbye, Hello, Peers, Ping, Pong, Status
from protocol.errors import LocalError, MessageError, RemoteError
from protocol.fields import Priority
from protocol.frames import Data
from protocol.manifest_messages import PUSH, AskLeaves, AskPages, AskRecords, Leaves, Pages, Records

__all__ = [
    "BY_TYPE", "PUSH", "AskLeaves", "AskPages", "AskRecords", "Cancel", "Get", "Goodbye", "Have", "Hello", "Leaves",
    "Message", "ObjectKind", "Objects", "Pages", "Peers", "Ping", "Pong", "Priority", "Records", "Status", "decode",
    "encode",
]  # fmt: skip

Message = (
    Hello | Status
    | AskPages | Pages | AskLeaves | Leaves | AskRecords | Records
    | Get | Objects | Have | Cancel
    | Ping | Pong | Goodbye | Peers
)  # fmt: skip

BY_TYPE: Final[dict[int, type[Message]]] = {
    cls.TYPE: cls
    for cls in (
        Hello, Status, AskPages, Pages, AskLeaves, Leaves, AskRecords, Records,
        Get, Objects, Have, Cancel, Ping, Pong, Goodbye, Peers,
    )
}  # fmt: skip


def encode(message: Message) -> list[bytes] | list[Data]:
    """The parts of a message's body. Raises LocalError for what cannot be packed.

    A control message is read back first, and LocalError raised if its peer would refuse it: such messages are small,
    and carry what operators write.
    """
    parts = message.encode()
    if message.PRIORITY == Priority.CONTROL:
        try:
            message.decode(parts[0])
        except RemoteError as error:
            raise LocalError(f"a peer would refuse this {type(message).__name__}: {error}") from error
    return parts


def decode(kind: int, body: Data) -> Message:
    """The message of a frame. Raises MessageError or CodecError."""
    cls = BY_TYPE.get(kind)
    if cls is None:
        raise MessageError(f"unknown message type {kind:#04x}")
    return cls.decode(body)
