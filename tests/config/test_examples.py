"""The examples that are shipped: they load, they explain every key, and what is printed is what the repository has."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from syncd.config.explain import keys_of
from syncd.config.models import (
    AuditModel,
    ConfigModel,
    FolderModel,
    HaproxyModel,
    HookModel,
    HttpModel,
    ListenModel,
    LocalCheckModel,
    LogModel,
    PriorityModel,
    ReadyModel,
    WebhookModel,
    schema,
)
from tests.config.conftest import Place

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = files("syncd.config").joinpath("example.json").read_text(encoding="utf-8")
SIMPLE = files("syncd.config").joinpath("simple.json").read_text(encoding="utf-8")
MODELS = [
    AuditModel, ConfigModel, FolderModel, HaproxyModel, HookModel, HttpModel, ListenModel, LocalCheckModel, LogModel,
    PriorityModel, ReadyModel, WebhookModel,
]  # fmt: skip


def here(text: str, place: Place) -> str:
    """The example with paths that exist in a test."""
    text = text.replace("/var/www/html/wp-content", str(place.root / "site"))
    return text.replace("/etc/syncd/wp.secret", str(place.root / "site.secret")).replace("/var/lib/syncd", "state")


def with_optional_keys(text: str) -> str:
    """The example with the keys switched on that are commented out."""
    text = text.replace('// "secret": ', '// not together with secret_file: "secret": ').replace("www-data", "0")
    return re.sub(r'^( *)// ("[a-z_]+": )', r"\1\2", text, flags=re.MULTILINE)


def test_the_repository_shows_what_is_printed() -> None:
    assert (REPOSITORY / "config.example.json").read_text() == EXAMPLE


def test_the_example_loads_without_a_warning(place: Place) -> None:
    loaded = place.load(here(EXAMPLE, place))
    assert loaded.warnings == []
    assert [each.name for each in loaded.settings.folders[0].priority] == ["themes", "plugins", "uploads"]


def test_the_simple_example_loads(place: Place) -> None:
    loaded = place.load(here(SIMPLE, place), XDG_STATE_HOME=str(place.root))
    assert loaded.warnings == []
    assert len(SIMPLE.splitlines()) < 12


def test_the_optional_keys_of_the_example_load_too(place: Place) -> None:
    text = with_optional_keys(here(EXAMPLE, place))
    loaded = place.load(text)
    assert loaded.warnings == []


@pytest.mark.parametrize("model", MODELS)
def test_every_key_is_in_the_example(model: type[ConfigModel]) -> None:
    for key in keys_of(model):
        assert f'"{key}": ' in EXAMPLE, key


def test_values_shown_as_defaults_are_the_defaults(place: Place) -> None:
    shown = place.load(here(EXAMPLE, place)).settings
    plain = place.folder().settings
    for name in ("listening_port", "upload_limit", "download_limit", "log", "min_free", "archive_max", "archive_ttl"):
        assert getattr(shown, name) == getattr(plain, name), name
    for name in ("symlinks", "overwrite_changes", "folder_rescan_interval", "publish_alone_after", "conflict_copies"):
        assert getattr(shown.folders[0], name) == getattr(plain.folders[0], name), name


def test_the_schema_in_the_repository_is_that_of_the_models() -> None:
    shown = json.dumps(schema(), indent=2) + "\n"
    assert (REPOSITORY / "config.schema.json").read_text() == shown, "syncd sample-config --schema >config.schema.json"
    assert '"$schema": "./config.schema.json"' in EXAMPLE


def test_numbers_of_the_schema_may_be_variables() -> None:
    properties = schema()["properties"]
    assert properties["listening_port"]["type"] == ["integer", "string"]
    assert re.search(properties["listening_port"]["pattern"], "${PORT:-1}")
    assert not re.search(properties["listening_port"]["pattern"], "1")
    assert properties["device_name"]["anyOf"][0]["type"] == "string"


def test_the_schema_describes_every_key() -> None:
    document = json.loads(json.dumps(schema()))
    described = {**document["properties"], **document["$defs"]["FolderModel"]["properties"]}
    assert set(described) == {*keys_of(ConfigModel), *keys_of(FolderModel)}
    assert all(part.get("description") for part in described.values())
    assert document["$defs"]["PriorityModel"]["properties"]["order"]["enum"]
