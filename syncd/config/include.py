"""`include`: further files of a configuration, as if what is in them stood in the file that names them.

Their `shared_folders` are added to those of the file; every other key may be given once. Paths in them start where
paths of the naming file start, and included files include no others.
"""

import glob
import os
from collections.abc import Iterator
from typing import Final

from syncd.config.document import Document, parse_file
from syncd.config.jsonc import Member, Node, child

MAX_INCLUDED: Final = 100  # files: one for each folder of a port, and as many again
_KEY: Final = "include"
_JOINED: Final = "shared_folders"


def read_document(path: str) -> Document:
    """Read and parse a file, and what it includes. Raises ConfigError."""
    root, mode = parse_file(path)
    return _with_included(Document(path, root, root, {"": mode}))


def _with_included(document: Document) -> Document:
    named = child(document.root, _KEY)
    if named is None:
        return document
    assert isinstance(document.root.value, dict)
    members = {key: member for key, member in document.root.value.items() if key != _KEY}
    modes = dict(document.modes)
    for path in _paths(document):
        root, modes[path] = parse_file(path, path)
        assert isinstance(root.value, dict)
        for key, member in root.value.items():
            members[key] = _joined(document, key, members.get(key), member)
    root = Node(document.root.at, members)
    return Document(document.file, root, root, modes)


def _paths(document: Document) -> list[str]:
    node = child(document.root, _KEY)
    assert node is not None
    if not isinstance(node.value, tuple):
        raise document.error((_KEY,), 'expected a list of files, for example ["conf.d/*.json"]')
    found = [path for number in range(len(node.value)) for path in _matches(document, number, node.value[number])]
    paths = list(dict.fromkeys(found))
    if len(paths) > MAX_INCLUDED:
        raise document.error((_KEY,), f"names {len(paths)} files; at most {MAX_INCLUDED} can be included")
    return paths


def _matches(document: Document, number: int, node: Node) -> Iterator[str]:
    if not isinstance(node.value, str) or not node.value:
        raise document.error((_KEY, number), "expected the name of a file in double quotes")
    pattern = document.path(node.value)
    if glob.has_magic(pattern):
        yield from sorted(glob.glob(pattern))  # none is fine: the directory may be empty
    elif os.path.lexists(pattern):
        yield pattern
    else:
        raise document.error((_KEY, number), f"there is no {pattern}")


def _joined(document: Document, key: str, known: Member | None, new: Member) -> Member:
    if key == _KEY:
        raise document.error_at(new.key_at, "an included file includes no others; name them in the first file")
    if known is None:
        return new
    if key == _JOINED and isinstance(known.node.value, tuple) and isinstance(new.node.value, tuple):
        return Member(known.key_at, Node(known.node.at, known.node.value + new.node.value))
    raise document.error_at(new.key_at, f"{key}: is already given at {document.where(known.key_at)}")
