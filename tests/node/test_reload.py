"""From the settings that hold to those that were read: what is done live, what reopens a folder, what has to wait."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from protocol.keys import generate_secret, parse_secret
from syncd.config import load
from syncd.config.settings import Folder, Log, Settings
from syncd.config.values import Amount
from syncd.node.reload import plan

SECRETS = [generate_secret(bytes([number]) * 32) for number in range(3)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folders = []
    for number in range(2):
        (tmp_path / f"dir{number}").mkdir()
        folders.append(f'{{"dir": "dir{number}", "secret": "{SECRETS[number]}"}}')
    file = tmp_path / "sync.json"
    file.write_text(f'{{"storage_path": "state", "shared_folders": [{", ".join(folders)}]}}')
    return load(str(file)).settings


def with_folder(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, folders=(replace(settings.folders[0], **changes), settings.folders[1]))


def test_the_same_settings_change_nothing(settings: Settings) -> None:
    done = plan(settings, settings)
    assert done == (settings, [], [], [], [], [], [])


@pytest.mark.parametrize("key", ["listening_port", "listening_address", "storage_path", "device_name", "service"])
def test_what_takes_a_restart_is_named_and_does_not_hold(settings: Settings, key: str) -> None:
    done = plan(settings, replace(settings, **{key: 7 if key == "listening_port" else "other"}, upload_limit=5))
    assert done.needs_restart == [key]
    assert getattr(done.effective, key) == getattr(settings, key)
    assert done.effective.upload_limit == 5
    assert done.changed == ["upload_limit"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("upload_limit", 1), ("log", Log("debug", "json")), ("min_free", Amount(1.0, None)), ("archive_ttl", 9.0)],
)
def test_what_changes_live_touches_no_folder(settings: Settings, key: str, value: object) -> None:
    done = plan(settings, replace(settings, **{key: value}))
    assert getattr(done.effective, key) == value
    assert done[1:6] == ([], [], [], [], [])


@pytest.mark.parametrize(
    ("key", "value"),
    [("known_hosts", ()), ("ignore", ("/x",)), ("priority", ()), ("folder_rescan_interval", 1.0)],
)
def test_a_folder_is_tuned(settings: Settings, key: str, value: object) -> None:
    before = with_folder(settings, **{key: "before"})
    done = plan(before, with_folder(before, **{key: value}))
    assert done.tuned == [done.effective.folders[0]]
    assert not done.reopened


@pytest.mark.parametrize(("key", "value"), [("owner", 7), ("file_mode", 0o600), ("symlinks", "none"), ("dir", "/x")])
def test_a_folder_is_reopened(settings: Settings, key: str, value: object) -> None:
    done = plan(settings, with_folder(settings, **{key: value, "ignore": ("/x",)}))
    assert done.reopened == [done.effective.folders[0]]
    assert not done.tuned
    assert f"{key} of {done.reopened[0].dir}" in done.changed


def test_every_key_of_a_folder_has_its_way(settings: Settings) -> None:
    for each in fields(Folder):
        if each.name == "keys":
            continue
        done = plan(settings, with_folder(settings, **{each.name: "another"}))
        assert len(done.tuned) + len(done.reopened) == 1, each.name


def test_a_folder_is_known_by_its_secret(settings: Settings) -> None:
    fresh = replace(settings.folders[0], keys=parse_secret(SECRETS[2]))
    done = plan(settings, replace(settings, folders=(fresh, settings.folders[1])))
    assert done.added == [fresh]
    assert done.removed == [settings.folders[0]]


def test_a_sandbox_never_grows(settings: Settings) -> None:
    inside = replace(settings, sandbox="landlock")
    fresh = replace(inside.folders[0], keys=parse_secret(SECRETS[2]), dir="/elsewhere")
    done = plan(
        inside, replace(with_folder(inside, dir="/moved"), folders=(*with_folder(inside, dir="/moved").folders, fresh))
    )
    assert not done.added
    assert not done.reopened
    assert done.needs_restart == ["/elsewhere (the sandbox)", "/moved (the sandbox)"]
    assert done.effective == inside
