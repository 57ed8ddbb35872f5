"""How much memory messages take while they wait: what queues are bounded by.

A message of many small items takes several times the bytes that it came in, so items count beside their bytes.
"""

from collections.abc import Callable
from typing import Any, Final

from protocol.messages import AskRecords, Cancel, Get, Have, Leaves, Message, Objects, Pages, Peers, Records, Status

MESSAGE: Final = 256  # bytes that any message is counted as
ITEM: Final = 64  # bytes that a byte string, a text or an integer takes besides its contents
ENTRY: Final = 224  # bytes that an entry of a manifest takes besides its key: a tuple, a hash, two numbers


def weight(message: Message) -> int:
    """Bytes that a message is counted as."""
    rule = _RULES.get(type(message))
    return MESSAGE if rule is None else MESSAGE + rule(message)


def _entries(items: tuple[Any, ...]) -> int:
    return ENTRY * len(items) + sum([len(item[0]) for item in items])


def _strings(items: tuple[Any, ...]) -> int:
    return ITEM * len(items) + sum(map(len, items))


def _objects(message: Objects) -> int:
    return ITEM * len(message.objects) + sum([len(data) for data in message.objects if data is not None])


def _records(message: Records) -> int:
    proofs = sum([_strings(tuple([part for part in proof if type(part) is bytes])) for proof in message.proofs])
    items = sum(map(len, message.proofs))
    return ITEM * items + proofs + _strings(message.blobs) + _entries(message.records)


_RULES: Final[dict[type[Message], Callable[[Any], int]]] = {
    Objects: _objects,
    Records: _records,
    Pages: lambda message: _entries(message.pages),
    Leaves: lambda message: _entries(message.leaves),
    AskRecords: lambda message: _strings(message.keys),
    Get: lambda message: _strings(message.ids),
    Have: lambda message: _strings(message.contents),
    Cancel: lambda message: ITEM * len(message.ids),
    Peers: lambda message: ENTRY * len(message.peers) + sum([len(address) for _, address in message.peers]),
    Status: lambda message: _strings(message.complete),
}
