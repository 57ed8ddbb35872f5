"""Errors of the models as lines for the operator: the place in the file, the key, what is wrong and what was meant."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from syncd.config.document import Document
from syncd.config.errors import ConfigError
from syncd.config.jsonc import Loc, printable
from syncd.config.models import ConfigModel, FolderModel

_Context = Mapping[str, Any]
_MESSAGES: dict[str, Callable[[_Context], str]] = {
    "missing": lambda _: "is missing",
    "string_type": lambda _: "expected text in double quotes",
    "string_unicode": lambda _: "expected text in UTF-8",
    "string_too_short": lambda _: "must not be empty",
    "string_too_long": lambda context: f"is longer than {context['max_length']} characters",
    "string_pattern_mismatch": lambda _: "may hold letters, digits and . _ - only",
    "int_type": lambda _: "expected a whole number",
    "int_from_float": lambda _: "expected a whole number",
    "float_type": lambda _: "expected a number",
    "finite_number": lambda _: "expected a number",
    "bool_type": lambda _: "expected true or false",
    "list_type": lambda _: "expected a list: [ ... ]",
    "model_type": lambda _: "expected an object: { ... }",
    "too_short": lambda _: "must not be empty",
    "too_long": lambda context: (
        f"has more than {context['max_length']} entries"
        if context["field_type"] == "List"
        else f"is longer than {context['max_length']} characters"
    ),
    "greater_than_equal": lambda context: f"must be {context['ge']:g} or more",
    "less_than_equal": lambda context: f"must be {context['le']:g} or less",
    "literal_error": lambda context: f"expected {context['expected'].replace(chr(39), chr(34))}",
    "value_error": lambda context: str(context["error"]),
}


def explained(document: Document, error: ValidationError) -> list[ConfigError]:
    """One error for each fault that the models found."""
    return [_explain(document, details) for details in error.errors(include_url=False, include_input=False)]


def _explain(document: Document, details: ErrorDetails) -> ConfigError:
    loc = details["loc"]
    if details["type"] == "extra_forbidden":
        return document.error(loc, unknown_key(str(loc[-1]), _model_at(loc[:-1])), key=True)
    message = _MESSAGES.get(details["type"])
    return document.error(loc, message(details.get("ctx", {})) if message else details["msg"])


def unknown_key(key: str, model: type[BaseModel]) -> str:
    """What to say of a key that `model` does not have: where it belongs, or which one was meant."""
    known = keys_of(model)
    if model is ConfigModel and key in keys_of(FolderModel):
        return "belongs into the objects of shared_folders"
    if model is not ConfigModel and key in keys_of(ConfigModel):
        return "belongs to the top level of the file"
    close = did_you_mean(key, known)
    return f"unknown key{close}" if close else f"unknown key; known here: {', '.join(known)}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean "..."?` if one of `known` is close to what was given, else nothing."""
    close = difflib.get_close_matches(printable(given).lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(loc: Loc) -> type[BaseModel]:
    """The model that describes the object at `loc`."""
    model: type[BaseModel] = ConfigModel
    for part in loc:
        if isinstance(part, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _model_in(fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model), None)
