"""The vectors of SPEC.md, which an implementation made that shares no code with the package."""

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from protocol import errors, messages
from protocol.content import BadContent
from protocol.keys import generate_secret, parse_secret

VECTORS = Path(messages.__file__).with_name("vectors")
FOLDER = parse_secret(generate_secret(bytes(range(32))))
FAULTS = {
    "frame": errors.FrameError, "codec": errors.CodecError, "message": errors.MessageError, "path": errors.BadPath,
    "record": errors.BadRecord, "content": BadContent,
}  # fmt: skip
Json = dict[str, Any]
hexed = bytes.fromhex


def load(name: str, *kinds: str) -> list[Any]:
    """The entries of a file, of these kinds or all, as parameters of a test."""
    found = [entry for entry in head(name)["entries"] if not kinds or entry["kind"] in kinds]
    assert {entry.get("kind") for entry in found} >= set(kinds)
    return [pytest.param(entry, id=entry["comment"]) for entry in found]


def head(name: str) -> Json:
    return dict(json.loads((VECTORS / name).read_text()))


def value_of(shown_value: Any) -> Any:
    """A codec value from its JSON."""
    if isinstance(shown_value, str | dict):
        return hexed(shown_value) if isinstance(shown_value, str) else shown_value["text"]
    return [value_of(item) for item in shown_value] if isinstance(shown_value, list) else shown_value


def generated(rule: Json) -> bytes:
    return blake3(rule["seed"].encode()).digest(rule["size"])
