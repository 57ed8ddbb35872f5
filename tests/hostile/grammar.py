"""Messages that look like messages: right in most of their fields, wrong in one or two, or in how they are packed."""

import random
from collections.abc import Callable
from typing import Any

import zstandard
from blake3 import blake3

from protocol import codec
from protocol.batches import to_wire
from protocol.content import build_segments, segment_id
from protocol.keys import Tier
from protocol.messages import BY_TYPE, Message
from protocol.record import Record
from tests.hostile.peer import Persona

INTEGERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 1_000, 4_096, 65_535, 65_536, 1 << 20, 1 << 31, (1 << 32) - 1,
            1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1, -2, -128, -(1 << 31), -(1 << 63)]  # fmt: skip
SIZES = [0, 1, 7, 8, 9, 16, 31, 32, 33, 64, 255, 256, 300, 4_095, 4_096]
TEXTS = ["", "a", "rest", "in-sync", "ä" * 128, "\x1b[2J", "\n", "x" * 255, "x" * 256, "x" * 1_200, "\u202e"]
COMPONENTS = [b"a", b"b", b"uploads", b"small", b"..", b".", b"", b".syncd", b"\xff", b"n" * 255, b"n" * 256, b"a\0b",
              b"\n", b"l"]  # fmt: skip
ANSWERED = {0x11: "AskPages", 0x13: "AskLeaves", 0x21: "Get"}  # by which request a type is wanted
TRUE = 0.85  # share of messages whose fields are as they should be
ASKED = 0.95  # share of answers that answer something
Fields = list[Any]


class Grammar:
    """Draws everything from `seed`. known: objects and records of the folder, so that some of what is said is true."""

    def __init__(self, seed: int, persona: Persona) -> None:
        self.random = random.Random(seed)
        self.persona = persona
        self.ids: list[bytes] = [bytes(32)]  # of objects
        self.objects: dict[bytes, bytes] = {}
        self._top = b""  # of the block list that was made last
        self.keys: list[bytes] = [b"", b"uploads", b"uploads\0small"]
        self.records: list[tuple[Fields, Fields]] = []  # proof and [raw, 0] of honest ones
        self.requests: dict[type[Message], list[Message]] = {}  # of the daemon, by type
        self._counter = 0
        writes = persona.keys.tier == Tier.READ_WRITE
        self._templates: list[tuple[int, Callable[[], Fields | bytes]]] = [
            (0x02, self._status), (0x10, self._ask_pages), (0x11, self._pages), (0x12, self._ask_leaves),
            (0x13, self._leaves), (0x14, self._ask_records), (0x15, self._records), (0x15, self._records),
            (0x20, self._get), (0x21, self._objects), (0x21, self._objects), (0x22, self._have), (0x23, self._cancel),
            (0x30, self._ping), (0x31, self._ping), (0x40, self._peers), *[(0x15, self._records)] * 12 * writes,
        ]  # fmt: skip

    # ---- frames

    def frame(self) -> bytes:
        """One frame, now and then of no known type, with odd flags, or compressed."""
        draw = self.random.random()
        if draw < 0.01:
            return self._framed(self.random.randrange(256), self.random.randrange(256), self.octets())
        kind, template = self._choose()
        if draw < 0.02:
            kind = self.random.choice([*BY_TYPE, 0x00, 0x80, 0xFF])
        fields = template()
        body = fields if isinstance(fields, bytes) else self._packed(self._mutated(fields))
        if draw > 0.97:
            body = self._damaged(body)
        if draw > 0.90 and body:
            return self._framed(kind, 1, len(body).to_bytes(4, "big") + zstandard.compress(body, 1))
        return self._framed(kind, 0, body)

    def _choose(self) -> tuple[int, Callable[[], Fields | bytes]]:
        """What to say next: an answer mostly only if there is a request for it."""
        while True:
            kind, template = self.random.choice(self._templates)
            asks = ANSWERED.get(kind)
            if asks is None or self.request(asks) or self.random.random() > ASKED:
                return kind, template

    def _framed(self, kind: int, flags: int, body: bytes) -> bytes:
        return bytes((kind, flags)) + (len(body) & 0xFFFFFF).to_bytes(3, "big") + body

    def _packed(self, fields: object) -> bytes:
        try:
            return codec.pack(fields)
        except Exception:  # an integer or text that no encoding holds
            return codec.pack([])

    def _damaged(self, body: bytes) -> bytes:
        data = bytearray(body)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            draw = self.random.random()
            place = self.random.randrange(len(data) + 1)
            if draw < 0.5 and place < len(data):
                data[place] = self.random.randrange(256)
            elif draw < 0.75:
                del data[place:]
            else:
                data[place:place] = self.random.randbytes(self.random.choice((1, 2, 8)))
        return bytes(data)

    def _mutated(self, fields: Fields) -> Fields:
        if self.random.random() < TRUE:
            return fields
        for _ in range(self.random.choice((1, 1, 1, 2))):
            self._mutate(fields)
        return fields

    def _mutate(self, items: Fields) -> None:
        """One change somewhere in the tree of fields."""
        if not items or self.random.random() < 0.05:
            items.append(self.anything())
            return
        place = self.random.randrange(len(items))
        item = items[place]
        if isinstance(item, tuple):
            item = items[place] = [*item]
        if isinstance(item, list) and self.random.random() < 0.8:
            self._mutate(item)
            return
        draw = self.random.random()
        if draw < 0.1:
            del items[place]
        elif draw < 0.2:
            items.insert(place, item)
        elif draw < 0.3 and isinstance(item, list):
            item.extend(list(item) * self.random.choice((1, 50)))
        elif draw < 0.4 and isinstance(item, list):
            self.random.shuffle(item)
        elif draw < 0.75:
            items[place] = self._like(item)
        else:
            items[place] = self.anything()

    def _like(self, item: object) -> object:
        """Another value of the same type."""
        if isinstance(item, bool):
            return not item
        if isinstance(item, int):
            return self.random.choice((item + 1, item - 1, self.integer()))
        if isinstance(item, bytes):
            return self.random.choice((self.octets, lambda: self._damaged(item), self.key, self.id))()
        return self.random.choice(TEXTS) if isinstance(item, str) else self.anything()

    # ---- values

    def anything(self, depth: int = 0) -> object:
        """A value of any type that can be packed."""
        draw = self.random.randrange(7 if depth < 3 else 5)
        if draw >= 5:
            nested: Any = [self.anything(depth + 1) for _ in range(self.random.choice((0, 1, 3, 20)))]
            for _ in range(self.random.choice((0, 0, 0, 8, 12))):
                nested = [nested]
            return nested
        return (None, self.random.random() < 0.5, self.integer(), self.octets(), self.random.choice(TEXTS))[draw]

    def integer(self) -> int:
        return self.random.choice(INTEGERS)

    def octets(self) -> bytes:
        return self.random.randbytes(self.random.choice(SIZES))

    def id(self) -> bytes:
        """An object's name, mostly of one that exists or was asked for."""
        return self.random.choice(self.ids) if self.random.random() < 0.8 else self.random.randbytes(32)

    def key(self) -> bytes:
        """A key, mostly one that exists."""
        if self.random.random() < 0.6:
            return self.random.choice(self.keys)
        return self.random.choice((self.octets(), b"\0".join(self.path().split(b"/"))))

    def path(self) -> bytes:
        """A path, mostly a lawful one."""
        few = COMPONENTS[:4] if self.random.random() < 0.7 else COMPONENTS
        return b"/".join(self.random.choice(few) for _ in range(self.random.choice((1, 2, 2, 3, 9))))

    def some(self, draw: Callable[[], Any], counts: tuple[int, ...] = (0, 1, 1, 2, 5, 30)) -> Fields:
        return [draw() for _ in range(self.random.choice(counts))]

    def request(self, *kinds: str) -> Any:
        """A request of the daemon of such a type, mostly one of its latest."""
        found = [one for kind, all_ in self.requests.items() if kind.__name__ in kinds for one in all_[-8:]]
        return self.random.choice(found) if found else None

    def _range(self) -> Fields:
        low, high = sorted((self.key(), self.key()))
        return [low, self.random.choice((None, high, high + b"\0"))]

    # ---- messages

    def _ping(self) -> Fields:
        return [self.random.randrange(1 << 63)]

    def _status(self) -> Fields:
        root = self.random.randbytes(32)
        return [self.random.randrange(4), root, True, 0, 0, ["rest"], True, "in-sync", False]

    def _ask_pages(self) -> Fields:
        return [self.random.randrange(1, 9), self.random.randrange(3), *self._range()]

    def _pages(self) -> Fields:
        ask = self.request("AskPages")
        number, level, low = (ask.id, ask.level, ask.lo) if ask else (1, 0, b"")
        firsts = sorted({low, *self.some(self.key)})
        pages = [[first, self.random.choice((self.id(), bytes(32))), self.random.choice((1, 64, 5_000))]
                 for first in firsts if first >= low]  # fmt: skip
        following = None if self.random.random() < 0.7 else firsts[-1] + b"\0"
        return [number, level, pages, following]

    def _ask_leaves(self) -> Fields:
        return [self.random.randrange(1, 9), *self._range()]

    def _leaves(self) -> Fields:
        ask = self.request("AskLeaves")
        number, low, high = (ask.id, ask.lo, ask.hi) if ask else (1, b"", None)
        keys = sorted({key for key in self.some(self.key) if key >= low and (high is None or key < high)})
        leaves = [[key, self.random.randbytes(32), self.random.choice((10, 300))] for key in keys]
        return [number, leaves, keys[-1] + b"\0" if keys and self.random.random() < 0.3 else None]

    def _ask_records(self) -> Fields:
        low, high = self._range()
        keys = sorted({key for key in self.some(self.key, (0, 0, 1, 3)) if low <= key and (high is None or key < high)})
        return [self.random.randrange(1, 9), low, high, keys]

    def _records(self) -> Fields:
        ask = self.request("AskRecords")
        number = ask.id if ask and self.random.random() < 0.6 else 0
        proofs, records = [], []
        if self.persona.keys.tier == Tier.READ_WRITE and self.random.random() < 0.7:
            made = [self.record() for _ in range(self.random.choice((1, 1, 2, 5)))]
            proofs.append(to_wire(self.persona.sign_hashes([record.hash for record in made])))
            records += [[record.raw, 0] for record in made]
        for proof, record in self.random.sample(self.records, min(len(self.records), self.random.choice((0, 1, 3)))):
            records.append([record[0], len(proofs)])
            proofs.append(list(proof))
        blobs = [
            self.random.choice((b"", b"x", b"hello", self.octets(), self._top))
            for _ in records[: self.random.randrange(3)]
        ]
        return [number, proofs, records, blobs, None, self.random.random() < 0.8]

    def _get(self) -> Fields:
        group = self.random.choice((b"", self.id()))
        return [self.random.randrange(1, 99), self.random.randrange(2), group, self.some(self.id)]

    def _objects(self) -> bytes:
        """Answers one of the daemon's requests, in part truly."""
        get = self.request("Get")
        number, kind, ids = (get.id, get.kind, get.ids) if get else (self.random.randrange(1, 9), 0, ())
        objects: list[Any] = []
        for id_ in ids[: self.random.choice((1, 2, 1_024))]:
            draw = self.random.random()
            true = self.objects.get(id_)
            objects.append(true if true is not None and draw < 0.9 else None if draw < 0.97 else self.octets())
        sizes: Fields = [-1 if item is None else len(item) for item in objects]
        header = self._packed(self._mutated([number, kind, sizes, self.random.random() < 0.8]))
        length = len(header) if self.random.random() < 0.97 else self.random.choice((0, 1, 1 << 31, 0xFFFFFFFF))
        return length.to_bytes(4, "big") + header + b"".join(item for item in objects if item is not None)

    def _have(self) -> Fields:
        return [self.some(self.id)]

    def _cancel(self) -> Fields:
        return [self.some(lambda: self.random.randrange(1, 99))]

    def _peers(self) -> Fields:
        return [[[self.random.randbytes(16), self.random.choice(("127.0.0.1:1", *TEXTS))] for _ in range(2)]]

    # ---- records

    def record(self) -> Record:
        """A record that is signed whatever it says: about one in two is wrong somewhere."""
        self._counter += 1
        path = self.path()
        made = self.random.choice((self._file, self._large, self._link, self._directory, self._delete))(path)
        if self.random.random() < 0.5:
            return made
        fields = codec.unpack(made.raw)
        self._mutate(fields)
        made.raw = self._packed(fields)
        made.hash = blake3(made.raw).digest()
        return made

    def _common(self) -> dict[str, Any]:
        actor, counter = self.persona.actor, self._counter
        common: dict[str, Any] = {}
        if self.random.random() < 0.5:
            common["context"] = {actor: self.random.choice((1, counter - 1 or 1, 1 << 40))}
        if self.random.random() < 0.2:
            common["stamp"] = self.random.choice((0, 1 << 62, 1_800_000_000_000_000_000))
        if self.random.random() < 0.1:
            common["spares"] = frozenset({(actor, 1), (self.random.randbytes(8), 5)})
        if self.random.random() < 0.1:
            common["superseded"] = (self.id(),)
        return common

    def _file(self, path: bytes) -> Record:
        data = self.random.choice((b"", b"x", b"hello", self.octets()))
        self.objects[self.persona.content_id(data)] = data
        size = len(data) if self.random.random() < 0.9 else self.random.choice((0, 1, 65_536))
        found = self.random.random() < 0.1
        content = self.persona.content_id(data)
        return self.persona.record(path, self._counter, size=size, content=content, found=found, **self._common())

    def _large(self, path: bytes) -> Record:
        content, size = self.large()
        return self.persona.record(path, self._counter, size=size, content=content, **self._common())

    def large(self) -> tuple[bytes, int]:
        """A block list that the daemon may fetch: true, wrong in its sums, or nonsense under its right name."""
        key = self.persona.keys.block_key
        assert key is not None
        blocks = []
        for _ in range(self.random.choice((5, 8))):
            data = bytes([self.random.randrange(4)]) * self.random.choice((16_384, 20_000))
            self.objects[self.persona.content_id(data)] = data
            blocks.append((self.persona.content_id(data), len(data)))
        content, segments = build_segments(key, blocks)
        size = sum(length for _, length in blocks)
        if self.random.random() < 0.5:
            fields = codec.unpack(segments[content])
            self._mutate(fields)
            raw = self._packed(fields)
            content = segment_id(key, raw)
            segments = {content: raw}
        if self.random.random() < 0.2:
            size = self.random.choice((size + 1, 1 << 40, 1 << 62, 65_537))
        self.objects.update(segments)
        self._top = segments[content]
        return content, size

    def _link(self, path: bytes) -> Record:
        return self.persona.link(path, self._counter, self.random.choice((b"/etc", b"../..", b"a", b"t" * 4_095)))

    def _directory(self, path: bytes) -> Record:
        return self.persona.directory(path, self._counter, mode=self.random.choice((0, 0o755, 0o777)), **self._common())

    def _delete(self, path: bytes) -> Record:
        common = self._common() | {"context": {self.persona.actor: self._counter}}
        return self.persona.delete(path, self._counter, **common)
