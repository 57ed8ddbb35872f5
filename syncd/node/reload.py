"""Reading the configuration anew: what changes while the node runs, and what only another start can change."""

from dataclasses import fields, replace
from typing import Final, NamedTuple

from syncd.config.settings import Folder, Settings

# of the whole node: what is told to peers or bound once
_AT_START: Final = (
    "device_name",
    "listening_address",
    "listening_port",
    "advertise_address",
    "service",
    "storage_path",
    "http",
    "status_page",
    "agent_check",
    "haproxy",
    "local_check",
    "webhook",
    "audit",
    "sandbox",
)
# of a folder: these change without its being closed
_LIVE: Final = frozenset(
    {"known_hosts", "priority", "ignore", "ready", "folder_rescan_interval", "publish_alone_after"}
)


class Plan(NamedTuple):
    """What is to be done. effective: the settings that hold when it is.

    needs_restart: keys whose change waits for another start. tuned: folders that change while they run. reopened:
    folders that are closed and opened again, as they will be.
    """

    effective: Settings
    needs_restart: list[str]
    added: list[Folder]
    removed: list[Folder]
    tuned: list[Folder]
    reopened: list[Folder]
    changed: list[str]


def plan(old: Settings, new: Settings) -> Plan:
    """From the settings that hold now to those that were read. A folder is the same one if its secret is."""
    waiting = [key for key in _AT_START if getattr(old, key) != getattr(new, key)]
    changed = [
        each.name
        for each in fields(Settings)
        if each.name not in (*_AT_START, "folders", "file") and getattr(old, each.name) != getattr(new, each.name)
    ]
    before = {folder.keys.folder_id: folder for folder in old.folders}
    after = {folder.keys.folder_id: folder for folder in new.folders}
    added = [folder for id_, folder in after.items() if id_ not in before]
    removed = [folder for id_, folder in before.items() if id_ not in after]
    tuned: list[Folder] = []
    reopened: list[Folder] = []
    folders = list(new.folders)
    for id_ in before.keys() & after.keys():
        differing = _differing(before[id_], after[id_])
        if differing:
            (tuned if differing <= _LIVE else reopened).append(after[id_])
            changed += [f"{name} of {after[id_].dir}" for name in sorted(differing)]
    if new.sandbox == "landlock" and old.sandbox == "landlock":
        folders, added, reopened = _inside(old, new, added, reopened, waiting)
    effective = replace(new, folders=tuple(folders), **{key: getattr(old, key) for key in _AT_START})
    return Plan(effective, waiting, added, removed, tuned, reopened, changed)


def _differing(one: Folder, two: Folder) -> set[str]:
    return {each.name for each in fields(Folder) if getattr(one, each.name) != getattr(two, each.name)}


def _inside(
    old: Settings, new: Settings, added: list[Folder], reopened: list[Folder], waiting: list[str]
) -> tuple[list[Folder], list[Folder], list[Folder]]:
    """What a sandbox, which can never grow, lets be done: no folder in another directory."""
    known = {folder.dir for folder in old.folders}
    out = {folder.keys.folder_id for folder in (*added, *reopened) if folder.dir not in known}
    waiting += [f"{folder.dir} (the sandbox)" for folder in (*added, *reopened) if folder.keys.folder_id in out]
    before = {folder.keys.folder_id: folder for folder in old.folders}
    folders = [before.get(each.keys.folder_id) if each.keys.folder_id in out else each for each in new.folders]
    return (
        [folder for folder in folders if folder is not None],
        [folder for folder in added if folder.keys.folder_id not in out],
        [folder for folder in reopened if folder.keys.folder_id not in out],
    )
