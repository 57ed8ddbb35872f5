"""From the file to Settings: parse, fill in variables, check the values, then what they mean on this machine."""

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError

from protocol.errors import SecretError
from protocol.keys import FolderKeys, Tier, is_version_1, parse_secret
from syncd.config import machine
from syncd.config.document import Document, name_of
from syncd.config.errors import OperatorError, first_of
from syncd.config.explain import did_you_mean, explained
from syncd.config.hosts import (
    DEFAULT_PORT,
    Listen,
    parse_address,
    parse_advertised,
    parse_known_host,
    parse_listen,
    parse_local_url,
    parse_network,
)
from syncd.config.include import read_document
from syncd.config.jsonc import Loc, plain
from syncd.config.legacy import without_ignored
from syncd.config.location import storage_of
from syncd.config.models import (
    AuditModel,
    ConfigModel,
    FolderModel,
    HaproxyModel,
    ListenModel,
    LocalCheckModel,
    PriorityModel,
    WebhookModel,
)
from syncd.config.secret_file import read_secret_file
from syncd.config.settings import Audit, Folder, Haproxy, Hook, Loaded, LocalCheck, Log, Ready, Settings, Webhook
from syncd.config.values import parse_amount, parse_mode, parse_percent, parse_size
from syncd.core.priority import Priority, PriorityClass

_T = TypeVar("_T")
_DAY = 86_400  # seconds
APART = "written for BitTorrent Sync: syncd and BitTorrent Sync do not talk to each other; every node needs syncd"
_KILOBYTE = 1_000  # bytes, as transfer rates are counted


def load_file(path: str, environment: Mapping[str, str]) -> Loaded:
    """The settings that the file at `path` stands for on this machine. Raises ConfigError."""
    document = read_document(path).filled(environment)
    document, ignored = without_ignored(document)
    warnings = list(ignored)
    model = check_values(document)
    resolver = _Resolver(document, environment)
    settings = resolver.settings(model, warnings)
    if warnings and (resolver.version_1 or ignored):
        warnings.insert(0, f"{path}: {APART}")
    return Loaded(settings, warnings)


def secret_texts(path: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The secret of each folder of the file at `path`, by the folder's directory. Raises ConfigError."""
    document, _ = without_ignored(read_document(path).filled(environment))
    resolver = _Resolver(document, environment)
    folders = enumerate(check_values(document).shared_folders)
    return {document.path(folder.dir): resolver.secret(folder, ("shared_folders", n))[0] for n, folder in folders}


def check_values(document: Document) -> ConfigModel:
    """The values of the file, each checked by itself. Raises ConfigError that carries all faults."""
    try:
        return ConfigModel.model_validate(plain(document.root))
    except ValidationError as error:
        raise first_of(explained(document, error)) from None


class _Resolver:
    """Gives values their meaning; every fault is raised at its place in the file."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document = document
        self.environment = environment
        self.version_1 = False  # whether a secret is one of BitTorrent Sync

    def settings(self, model: ConfigModel, warnings: list[str]) -> Settings:
        folders = self.folders(model, warnings)
        storage = storage_of(self.document, self.environment)
        self.check_places(storage, folders)
        if model.listening_port == 0:
            at = self.document.place(("listening_port",))
            text = f"listening_port: 0 means the default port here, {DEFAULT_PORT}"
            warnings.append(f"{self.document.where(at)}: {text}")
        return Settings(
            file=os.path.abspath(self.document.file),
            device_name=model.device_name or os.uname().nodename,
            listening_address=model.listening_address or "",
            listening_port=model.listening_port or DEFAULT_PORT,
            advertise_address=parse_advertised(model.advertise_address) if model.advertise_address else "",
            allow_networks=tuple(map(parse_network, model.allow_networks or ())),
            service=str(parse_address(model.service)) if model.service else "",
            storage_path=storage,
            folders=tuple(folders),
            upload_limit=model.upload_limit * _KILOBYTE,
            download_limit=model.download_limit * _KILOBYTE,
            min_free=parse_amount(model.min_free),
            archive_max=parse_amount(model.archive_max),
            archive_ttl=float(model.sync_trash_ttl * _DAY),
            http=_listen(model.http),
            status_page=model.http is not None and model.http.status_page,
            agent_check=_listen(model.agent_check),
            log=Log(model.log.level, model.log.format),
            audit=self.audit(model.audit, storage, folders),
            sandbox=model.sandbox,
            flush_timeout=model.flush_timeout,
            haproxy=_haproxy(model.haproxy),
            local_check=self.local_check(model.local_check),
            webhook=_webhook(model.webhook),
        )

    def audit(self, model: AuditModel | None, storage: str, folders: list[Folder]) -> Audit | None:
        if model is None:
            return None
        path = self.document.path(model.file)
        self.at(("audit", "file"), machine.check_audit, path, storage, [folder.dir for folder in folders])
        return Audit(path, model.max_bytes, model.files)

    def local_check(self, model: LocalCheckModel | None) -> LocalCheck | None:
        if model is None:
            return None
        self.at(("local_check", "url"), machine.check_own_address, parse_local_url(model.url)[0])
        return LocalCheck(model.url, model.host or "", model.expect, model.interval, model.timeout)

    def folders(self, model: ConfigModel, warnings: list[str]) -> list[Folder]:
        folders: list[Folder] = []
        for number, folder in enumerate(model.shared_folders):
            loc: Loc = ("shared_folders", number)
            folders.append(self.folder(folder, loc, model))
            warnings.extend(self.folder_warnings(folder, loc))
        self.check_secrets_differ(folders)
        return folders

    def folder(self, folder: FolderModel, loc: Loc, model: ConfigModel) -> Folder:
        own = folder.priority
        classes = self.classes(model.priority, ("priority",)) if own is None else self.classes(own, (*loc, "priority"))
        interval, alone = folder.folder_rescan_interval, folder.publish_alone_after
        return Folder(
            dir=self.directory(folder, loc),
            keys=self.keys(folder, loc),
            known_hosts=tuple(dict.fromkeys(map(parse_known_host, folder.known_hosts))),
            search_lan=folder.search_lan,
            priority=classes,
            atomic=tuple(folder.atomic),
            ignore=tuple(folder.ignore),
            owner=self.account(folder.owner, (*loc, "owner"), machine.user_id),
            group=self.account(folder.group, (*loc, "group"), machine.group_id),
            file_mode=parse_mode(folder.file_mode) if folder.file_mode else None,
            dir_mode=parse_mode(folder.dir_mode) if folder.dir_mode else None,
            symlinks=folder.symlinks,
            ready=self.ready(folder, loc, classes),
            overwrite_changes=folder.overwrite_changes,
            folder_rescan_interval=model.folder_rescan_interval if interval is None else interval,
            publish_alone_after=model.publish_alone_after if alone is None else alone,
            conflict_copies=folder.conflict_copies,
            on_applied=self.hooks(folder, loc, model),
            max_file_size=parse_size(folder.max_file_size) if folder.max_file_size is not None else None,
            hold_rewrites=folder.hold_rewrites,
        )

    def hooks(self, folder: FolderModel, loc: Loc, model: ConfigModel) -> tuple[Hook, ...]:
        if folder.on_applied and model.sandbox == "landlock":
            message = 'excludes "sandbox": "landlock": the commands would be locked up with the node'
            raise self.document.error((*loc, "on_applied"), message)
        return tuple(
            Hook(tuple(item.match), tuple(item.command), item.quiet, item.timeout, item.retries)
            for item in folder.on_applied
        )

    def directory(self, folder: FolderModel, loc: Loc) -> str:
        path = self.document.path(folder.dir)
        self.at((*loc, "dir"), machine.check_folder, path)
        return path

    def secret(self, folder: FolderModel, loc: Loc) -> tuple[str, Loc]:
        """The text of the folder's secret, and where the file gives it."""
        if folder.secret is None and folder.secret_file is None:
            message = 'needs "secret_file" or "secret"; `syncd generate-secret --out FILE` makes one'
            raise self.document.error(loc, message)
        if folder.secret is not None and folder.secret_file is not None:
            at = self.document.place((*loc, "secret"), key=True)
            message = f'give either "secret_file" or "secret" (line {at.line}), not both'
            raise self.document.error((*loc, "secret_file"), message, key=True)
        if folder.secret is not None:
            return folder.secret, (*loc, "secret")
        here = (*loc, "secret_file")
        path = self.document.path(folder.secret_file or "")
        return self.at(here, read_secret_file, path, self.environment), here

    def keys(self, folder: FolderModel, loc: Loc) -> FolderKeys:
        text, loc = self.secret(folder, loc)
        try:
            keys = parse_secret(text)
        except SecretError as error:
            raise self.document.error(loc, str(error)) from None
        self.version_1 |= is_version_1(text)
        if keys.tier is Tier.RELAY:
            message = "relay secrets cannot be used in this version; use a read-only or read-write one"
            raise self.document.error(loc, message)
        return keys

    def account(self, text: str | None, loc: Loc, number: Callable[[str], int]) -> int | None:
        return None if text is None else self.at(loc, number, text)

    def classes(self, models: list[PriorityModel], loc: Loc) -> tuple[PriorityClass, ...]:
        seen: dict[str, int] = {}
        for number, model in enumerate(models):
            here = (*loc, number, "class")
            if model.name in seen:
                message = f'the class "{model.name}" is already defined at line {seen[model.name]}'
                raise self.document.error(here, message)
            seen[model.name] = self.document.place(here).line
        classes = tuple(PriorityClass(model.name, tuple(model.match), model.order) for model in models)
        try:
            Priority(classes)
        except ValueError as error:
            raise self.document.error(loc, str(error)) from None
        return classes

    def ready(self, folder: FolderModel, loc: Loc, classes: tuple[PriorityClass, ...]) -> Ready:
        names = Priority(classes).names
        for number, name in enumerate(folder.ready.classes):
            if name not in names:
                known = did_you_mean(name, names) or f"; classes here: {', '.join(names)}"
                here = (*loc, "ready", "classes", number)
                raise self.document.error(here, f'there is no class "{name}" in priority{known}')
        ready = folder.ready
        return Ready(
            classes=tuple(ready.classes),
            alone_after=ready.alone_after,
            allow_empty=ready.allow_empty,
            max_need=parse_percent(ready.max_need),
            max_lag=ready.max_lag,
        )

    def check_places(self, storage: str, folders: list[Folder]) -> None:
        """Folders and storage lie apart, and the storage can be written."""
        places: list[machine.Place] = []
        for number, folder in enumerate(folders):
            loc: Loc = ("shared_folders", number, "dir")
            new = machine.place(folder.dir, self.document.place(loc).line)
            self.at(loc, machine.check_apart, new, places, "the folder")
            places.append(new)
        loc = ("storage_path",)
        new = machine.place(storage, self.document.place(loc).line)
        self.at(loc, machine.check_apart, new, places, "the folder")
        self.at(loc, machine.check_storage, storage)

    def check_secrets_differ(self, folders: list[Folder]) -> None:
        seen: dict[bytes, int] = {}
        for number, folder in enumerate(folders):
            loc: Loc = ("shared_folders", number)
            if folder.keys.folder_id in seen:
                message = f"has the same secret as the folder of line {seen[folder.keys.folder_id]}; each needs its own"
                raise self.document.error(loc, message)
            seen[folder.keys.folder_id] = self.document.place(loc).line

    def folder_warnings(self, folder: FolderModel, loc: Loc) -> list[str]:
        warnings: list[str] = []
        at = self.document.place((*loc, "secret"))
        if (
            folder.secret is not None
            and self.document.literal((*loc, "secret"))
            and self.document.modes[at.file] & 0o004
        ):
            file = at.file or self.document.file
            text = f"others can read the secret in this file: chmod 600 {file}, or use secret_file"
            warnings.append(self.warning((*loc, "secret"), text))
        if is_version_1(self.secret(folder, loc)[0]):
            text = (
                "a secret of BitTorrent Sync 1.x has 160 bits; make one of 256 with `syncd generate-secret` and give "
                "it to all nodes"
            )
            given = "secret" if folder.secret is not None else "secret_file"
            warnings.append(self.warning((*loc, given), text))
        if not folder.use_sync_trash:
            text = "has no effect: displaced files always go to the archive"
            warnings.append(self.warning((*loc, "use_sync_trash"), text))
        return warnings

    def warning(self, loc: Loc, text: str) -> str:
        at = self.document.place(loc)
        return f"{self.document.where(at)}: {name_of(loc)}: {text}"

    def at(self, loc: Loc, check: Callable[..., _T], *arguments: object) -> _T:
        """The result of a check that knows nothing of the file; its fault is raised at `loc`."""
        try:
            return check(*arguments)
        except OperatorError as error:
            raise self.document.error(loc, error.message, error.code) from None


def _haproxy(model: HaproxyModel | None) -> Haproxy | None:
    return Haproxy(model.socket, model.backend, model.slots, model.grace) if model else None


def _webhook(model: WebhookModel | None) -> Webhook | None:
    return Webhook(model.url, tuple(dict.fromkeys(model.events)), model.timeout) if model else None


def _listen(model: ListenModel | None) -> Listen | None:
    return parse_listen(model.listen) if model else None
