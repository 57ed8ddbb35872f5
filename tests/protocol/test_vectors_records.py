"""The package against the vectors for what nodes keep: records, batches, pages and contents."""

from collections.abc import Iterable, Sequence

import pytest
from blake3 import blake3

from protocol import codec, content, errors, shown
from protocol.batches import from_wire, prune, sign_batch, to_wire, verify_proof
from protocol.chunking import blocks, cut
from protocol.content import assemble, block_id, build_segments, segment_id
from protocol.edit import Entry, edit_record, found_record
from protocol.merge import Liveness, State, conflicts, digest, is_stale_metadata, liveness, merge, winner
from protocol.pages import Leaf
from protocol.paths import to_key, to_path
from protocol.record import Kind, Record, decode_record
from tests.fakes.memory_pages import MemoryPages
from tests.protocol.vectors import FAULTS, FOLDER, Json, generated, head, hexed, load, value_of

# ---- records and merging


@pytest.mark.parametrize("entry", load("records.json"))
def test_record(entry: Json) -> None:
    raw = hexed(entry["bytes"])
    if entry["kind"] == "refused":
        with pytest.raises(FAULTS[entry["class"]]):
            decode_record(raw, FOLDER.folder_id)
        return
    record = decode_record(raw, FOLDER.folder_id)
    assert record.hash == hexed(entry["hash"])
    assert codec.pack(value_of(entry["fields"])) == raw
    assert to_path(to_key(record.path)) == record.path


def state_of(raws: Iterable[str]) -> State:
    return tuple(sorted((decode_record(hexed(raw), FOLDER.folder_id) for raw in raws), key=lambda r: r.hash))


@pytest.mark.parametrize("entry", load("merge.json", "merge"))
def test_merge(entry: Json) -> None:
    states = [state_of(raws) for raws in entry["states"]]
    expected = [hexed(item) for item in entry["merged"]]
    one_by_one = merge()
    for record in [record for state in reversed(states) for record in reversed(state)]:
        one_by_one = merge(one_by_one, (record,))
    for merged in (merge(*states), merge(*reversed(states)), merge(*states, *states), one_by_one):
        assert [record.hash for record in merged] == expected
    best = winner(merged)
    assert (best and best.hash.hex()) == entry["winner"]
    assert digest(merged).hex() == entry["digest"]
    assert [record.hash.hex() for record in conflicts(merged)] == entry["conflicts"]
    assert [record.hash.hex() for record in merged if is_stale_metadata(record, merged)] == entry["stale"]
    assert liveness(merged).name == entry["liveness"]


def entry_of(value: Json | None) -> Entry | None:
    if value is None:
        return None
    kind, numbers = Kind(value["kind"]), (value["size"], value["mode"], value["mtime"])
    return Entry(kind, hexed(value["content"]), *numbers, hexed(value["target"]))


@pytest.mark.parametrize("entry", load("merge.json", "edit"))
def test_edit(entry: Json) -> None:
    actor, counter = entry["dot"]
    before, after = entry_of(entry["before"]), entry_of(entry["after"])
    arguments = (state_of(entry["state"]), before, after, (hexed(actor), counter), entry["stamp"], FOLDER.folder_id)
    assert edit_record(hexed(entry["path"]), *arguments).raw == hexed(entry["record"])


@pytest.mark.parametrize("entry", load("merge.json", "found"))
def test_found(entry: Json) -> None:
    (actor, counter), after = entry["dot"], entry_of(entry["after"])
    assert after is not None
    stamp = min(after.mtime, entry["now"])
    record = found_record(hexed(entry["path"]), after, (hexed(actor), counter), stamp, FOLDER.folder_id)
    assert record.raw == hexed(entry["record"])


class Manifest:
    """Implements shown.View."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._states: dict[bytes, State] = {}
        for record in records:
            key = to_key(record.path)
            self._states[key] = merge(self.state(key), (record,))

    def state(self, key: bytes) -> State:
        return self._states.get(key, ())

    def liveness_below(self, key: bytes) -> Liveness:
        below = [liveness(state) for other, state in self._states.items() if other.startswith(key + b"\0")]
        return max(below, default=Liveness.DEAD)


@pytest.mark.parametrize("entry", load("merge.json", "shown"))
def test_shown(entry: Json) -> None:
    manifest = Manifest(state_of(entry["records"]))
    for path, expected in entry["shown"]:
        assert shown.shown(hexed(path), manifest) == entry_of(expected), path


# ---- batches


@pytest.mark.parametrize("entry", load("batches.json"))
def test_proof(entry: Json) -> None:
    about = head("batches.json")
    folder = hexed(about["folder_public"]), hexed(about["folder_id"])
    wire = codec.unpack(hexed(entry["proof"]))
    if entry["kind"] == "refused":
        with pytest.raises(errors.BadProof):
            verify_proof(from_wire(wire), *folder)
        return
    proof = from_wire(wire)
    verified = verify_proof(proof, *folder)
    leaves = [blake3(b"record %d" % n).digest() for n in range(proof.count)]
    whole = sign_batch(leaves, hexed(about["writer_seed"]), hexed(about["certificate"]))
    kept = frozenset(map(hexed, entry["kept"]))
    assert to_wire(proof) == wire == to_wire(prune(whole, kept))
    assert verified.actor == hexed(entry["actor"])
    assert verified.hashes == frozenset(map(hexed, entry.get("vouched") or entry["kept"]))
    assert verified.hashes >= kept


# ---- pages


def whole(key: bytes) -> bytes:
    return key[1:].rjust(3_872, b".") if key.startswith(b"=") else key


@pytest.mark.parametrize("entry", load("pages.json"))
def test_pages(entry: Json) -> None:
    keys, weights = [whole(hexed(key)) for key in entry["keys"]], entry["weights"]
    if len(weights) != len(keys):
        weights = [len(key) + weights[0] for key in keys]
    leaves = [Leaf(key, blake3(key).digest(), weight) for key, weight in zip(keys, weights, strict=True)]
    at_once, bit_by_bit = MemoryPages(entry["seed"]), MemoryPages(entry["seed"])
    at_once.put(leaves)
    for start in range(7):
        bit_by_bit.put(leaves[start::7])
    for storage in (at_once, bit_by_bit):
        for level, pages in enumerate(entry["levels"]):
            expected = [(whole(hexed(first)), hexed(hash_), count) for first, hash_, count in pages]
            assert storage.pages(level, b"", None) == expected
        level, hash_, count = storage.root()
        assert [level, hash_.hex(), count] == entry["root"]


# ---- contents

KEY = FOLDER.block_key or b""


@pytest.mark.parametrize("entry", load("contents.json", "small", "cut"))
def test_content_without_a_list(entry: Json) -> None:
    assert hexed(head("contents.json")["k_block"]) == KEY
    if entry["kind"] == "cut":
        assert cut(bytes(entry["zeros"]), True) == entry["lengths"]
    else:
        assert block_id(KEY, generated(entry["data"])) == hexed(entry["content_id"])


@pytest.mark.parametrize("entry", load("contents.json", "large"))
def test_large_content(entry: Json) -> None:
    data = generated(entry["data"])
    assert cut(data, True) == entry["lengths"]
    pieces = list(blocks([data[place : place + 10_000] for place in range(0, len(data), 10_000)]))
    listed = [(block_id(KEY, piece), len(piece)) for piece in pieces]
    assert [identity.hex() for identity, _ in listed] == entry["blocks"]
    check_list(listed, entry["content_id"], entry["segments"])


def check_list(listed: Sequence[tuple[bytes | None, int]], top: str, segments: Sequence[str]) -> None:
    content_id, made = build_segments(KEY, listed)
    assert content_id == hexed(top)
    assert sorted(made.values()) == sorted(map(hexed, segments))
    found = assemble(content_id, made.get, sum(length for _, length in listed))
    assert [(block.id, block.length) for block in found] == list(listed)


@pytest.mark.parametrize("entry", load("contents.json", "list"))
def test_list_with_holes(entry: Json) -> None:
    listed = [(identity and hexed(identity), length) for identity, length in entry["list"]]
    check_list(listed, entry["content_id"], entry["segments"])


@pytest.mark.parametrize("entry", load("contents.json", "rule"))
def test_list_by_a_rule(entry: Json) -> None:
    every = entry["hole_every"]
    listed: list[tuple[bytes | None, int]] = []
    for number in range(entry["count"]):
        identity = blake3(f"{entry['tag']} {number}".encode()).digest()
        if entry["divisible"]:
            identity = bytes(8) + identity[8:]
        hole = every and number % every == every - 1
        listed.append((None, 1 << 20) if hole else (identity, 65_536 + number % 1_000))
    content_id, segments = build_segments(KEY, listed)
    assert content_id == hexed(entry["content_id"])
    assert len(segments) == entry["segment_count"]
    assert blake3(b"".join(sorted(segments))).hexdigest() == entry["segments_hash"]
    depth, at = 0, content.decode_segment(segments[content_id])
    while isinstance(at, content.Node):
        depth, at = depth + 1, content.decode_segment(segments[at.entries[0][0]])
    assert depth == entry["depth"]


@pytest.mark.parametrize("entry", load("contents.json", "refused"))
def test_refused_list(entry: Json) -> None:
    segments = {segment_id(KEY, hexed(raw)): hexed(raw) for raw in entry["segments"]}
    top = segment_id(KEY, hexed(entry["segments"][0]))
    with pytest.raises(FAULTS[entry["class"]]):
        assemble(top, segments.get, entry["size"])
