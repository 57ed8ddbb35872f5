"""Every key of a configuration with the value that it has here and where that comes from: `check-config --explain`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from syncd.config.document import Document, name_of
from syncd.config.include import read_document
from syncd.config.jsonc import Loc, find
from syncd.config.legacy import without_ignored
from syncd.config.loader import check_values

DEFAULT: Final = "default"
_SECRETS: Final = frozenset({("shared_folders", "secret"), ("webhook", "url")})


class Value(NamedTuple):
    """name: as errors write it. text: JSON. origin: FILE:LINE:COLUMN, or DEFAULT. meaning: what the key is for."""

    name: str
    text: str
    origin: str
    meaning: str


def effective_values(path: str, environment: Mapping[str, str]) -> list[Value]:
    """The values of the file at `path`, in the order of the keys' reference. Raises ConfigError."""
    document, _ = without_ignored(read_document(path).filled(environment))
    return list(_values(document, check_values(document), ()))


def _values(document: Document, model: BaseModel, loc: Loc) -> Iterator[Value]:
    for name, field in type(model).model_fields.items():
        here = (*loc, field.alias or name)
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _values(document, value, here)
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            for number, item in enumerate(value):
                yield from _values(document, item, (*here, number))
        else:
            yield Value(name_of(here), _text(here, value), _origin(document, here), field.description or "")


def _text(loc: Loc, value: Any) -> str:
    hidden = (loc[0], loc[-1]) in _SECRETS and value is not None
    return '"..."' if hidden else json.dumps(value, ensure_ascii=False)


def _origin(document: Document, loc: Loc) -> str:
    around, last = find(document.root, loc[:-1]), loc[-1]
    given = isinstance(around.value, dict) and last in around.value and document.place(loc[:-1]) == around.at
    return document.where(document.place(loc)) if given else DEFAULT
