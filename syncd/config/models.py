"""Every key of the configuration, with its type, its bounds and its default. The JSON Schema is generated from here.

Only what one value alone can tell is checked here. What takes two keys, a file or the machine is checked in
`consistency` and `machine`.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from protocol.limits import MAX_CLASSES, MAX_FOLDERS_PER_PORT, MAX_NAME_FIELD
from syncd.config.hosts import (
    DEFAULT_PORT,
    check_host,
    check_webhook,
    parse_address,
    parse_advertised,
    parse_known_host,
    parse_listen,
    parse_local_url,
    parse_network,
)
from syncd.config.values import parse_amount, parse_mode, parse_percent, parse_size
from syncd.core.patterns import MAX_PATTERN, MAX_PATTERNS
from syncd.core.patterns import Patterns as PatternList
from syncd.core.priority import ORDERS

MAX_TEXT = 4096  # characters of any text: more than a path can hold
MAX_HOSTS = 1_000  # entries of known_hosts
MAX_NETWORKS = 1_000  # entries of allow_networks: each is looked at for every connection
MAX_SECONDS = 10**9
MAX_EXPECT = 1_000  # characters
MAX_HOOKS = 16  # commands of a folder
MAX_ARGUMENTS = 64  # of a command
MAX_RATE = 10**9  # kB/s
MIN_AUDIT = 10_000  # bytes of an audit log: some dozens of lines
MAX_AUDIT = 10**12
MAX_URL = 2_000  # characters

# Types of events that a webhook may be told: not those that come for each file.
Told = Literal[
    "started", "stopping", "reloaded", "state", "ready", "not-ready", "drained", "undrained", "connected",
    "disconnected", "held", "released", "approved", "rejected", "conflict", "settled", "restored", "dismissed", "alarm",
    "damaged", "problem", "problems", "solved", "verifying", "verified",
]  # fmt: skip


def _from_text(pattern: str, convert: Callable[[str], Any]) -> BeforeValidator:
    """Lets a number or a truth value come out of `"${NAME}"`, which is always a text."""

    def convert_text(value: object) -> object:
        return convert(value) if isinstance(value, str) and re.fullmatch(pattern, value) else value

    return BeforeValidator(convert_text)


def _one_line(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("must not hold control characters")
    return text


def _checked(parse: Callable[[str], object]) -> AfterValidator:
    """Refuses what `parse` refuses, and keeps the text."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _order(text: str) -> str:
    if text not in ORDERS:
        raise ValueError(f"expected one of {', '.join(ORDERS)}")
    return text


def _service(text: str) -> None:
    host, colon, _ = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]") if colon else "")
    except ValueError:
        raise ValueError("expected an IP address and a port such as 10.0.0.5:80; HAProxy is told no names") from None
    parse_address(text)


def _mode_is_text(value: object) -> object:
    if isinstance(value, int):
        raise ValueError('is octal and therefore text: "0644"')
    return value


def _number_as_text(value: object) -> object:
    return str(value) if type(value) is int else value


def _program(command: list[str]) -> list[str]:
    if not command[0].startswith("/"):
        raise ValueError(f"{command[0]!r} must be the absolute path of a program: no shell and no PATH is searched")
    return command


def _socket_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be the path of a local socket, from /; an admin socket on TCP is open to everybody")
    return text


def _directory_mode(text: str) -> str:
    if parse_mode(text) & 0o700 != 0o700:
        raise ValueError("would lock the owner out; directories need 0700 at least")
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_one_line)]
Integer = Annotated[int, _from_text(r"[0-9]{1,12}", int)]
Flag = Annotated[bool, _from_text("true|false", lambda text: text == "true")]
Seconds = Annotated[float, _from_text(r"[0-9]{1,12}(\.[0-9]{1,9})?", float), Field(ge=0, le=MAX_SECONDS)]
Rate = Annotated[Integer, Field(ge=0, le=MAX_RATE)]
Address = Annotated[Text, _checked(parse_address)]
ListenAddress = Annotated[Text, _checked(parse_listen)]
Host = Annotated[Text, _checked(parse_known_host)]
NetworkText = Annotated[Text, _checked(parse_network)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN), _checked(lambda text: PatternList([text]))]
Patterns = Annotated[list[Pattern], Field(max_length=MAX_PATTERNS)]
ClassName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Account = Annotated[str, BeforeValidator(_number_as_text), Field(min_length=1)]
FileMode = Annotated[str, BeforeValidator(_mode_is_text), _checked(parse_mode)]
DirectoryMode = Annotated[FileMode, AfterValidator(_directory_mode)]
ServerName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Percent = Annotated[Text, _checked(parse_percent)]
DiskSpace = Annotated[Text, _checked(parse_amount)]
Size = Annotated[Text, BeforeValidator(_number_as_text), _checked(parse_size)]


class Model(BaseModel):
    """Rules common to all objects of the file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class PriorityModel(Model):
    """A class of paths."""

    name: ClassName = Field(alias="class", description="Name of the class, as `status`, `wait` and /readyz use it.")
    match: Annotated[Patterns, Field(min_length=1)] = Field(
        description="Patterns as in .gitignore, from the folder's top. The first class that matches a path has it."
    )
    order: Annotated[str, AfterValidator(_order), Field(json_schema_extra={"enum": list(ORDERS)})] = Field(
        default="name", description="What is fetched first within the class."
    )


class ReadyModel(Model):
    """When the node may be given traffic."""

    classes: list[ClassName] = Field(default=[], description="Classes that must be complete; empty: all classes.")
    alone_after: Seconds | None = Field(
        default=None,
        description="Seconds without any peer after which a folder that holds files is ready; null: never.",
    )
    allow_empty: Flag = Field(
        default=False, description="Whether a class of which nobody has any file counts as complete."
    )
    max_need: Percent = Field(
        default="5%",
        description="A class that was ready stays ready while it needs fewer files than this share of the folder's.",
    )
    max_lag: Seconds = Field(
        default=60.0,
        description="A class that was ready stays ready for so many seconds, however much it needs from peers.",
    )


class HookModel(Model):
    """A command that runs when files that came from peers are in place."""

    match: Annotated[Patterns, Field(min_length=1)] = Field(description="Paths that it is run for, as in .gitignore.")
    command: Annotated[list[Text], Field(min_length=1, max_length=MAX_ARGUMENTS), AfterValidator(_program)] = Field(
        description="The absolute path of a program, and its arguments. No shell."
    )
    quiet: Annotated[Seconds, Field(ge=0.1, le=3_600)] = Field(
        default=2.0, description="Seconds without a further change after which it runs, once for all of them."
    )
    timeout: Annotated[Seconds, Field(gt=0, le=86_400)] = Field(
        default=60.0, description="Seconds after which it is killed, with all that it started."
    )
    retries: Annotated[Integer, Field(ge=0, le=100)] = Field(
        default=3, description="Further tries, with growing pauses, if it fails."
    )


class FolderModel(Model):
    """A replicated directory."""

    dir: Text = Field(description="The directory. It must exist; relative paths start at this file.")
    secret: Text | None = Field(
        default=None, repr=False, description="The folder's secret, from `syncd generate-secret`; or give secret_file."
    )
    secret_file: Text | None = Field(
        default=None, description="File that holds the secret; only its owner may read it, except below /run/secrets."
    )
    known_hosts: Annotated[list[Host], Field(max_length=MAX_HOSTS)] = Field(
        default=[],
        description="Peers to dial: host, host:port, [v6]:port, dns:name:port (all addresses of a name), srv:name. "
        "The node's own address may be among them.",
    )
    search_lan: Flag = Field(default=False, description="Look for peers on the local network.")
    priority: Annotated[list[PriorityModel], Field(max_length=MAX_CLASSES)] | None = Field(
        default=None,
        description="Classes of this folder in the order in which they are fetched; else those of the node.",
    )
    atomic: Patterns = Field(default=[], description="Directories that are published all at once.")
    ignore: Patterns = Field(default=[], description="Paths that take no part, as in .gitignore.")
    owner: Account | None = Field(default=None, description="User, by name or number, that owns files written here.")
    group: Account | None = Field(default=None, description="Group, by name or number, of files written here.")
    file_mode: FileMode | None = Field(
        default=None, description="Permission bits of files here; else those of the author."
    )
    dir_mode: DirectoryMode | None = Field(default=None, description="Permission bits of directories here.")
    symlinks: Literal["all", "inside", "none"] = Field(
        default="all", description="Symbolic links that are accepted: all, those that point inside the folder, or none."
    )
    ready: ReadyModel = Field(default=ReadyModel(), description="What makes this node ready for traffic.")
    overwrite_changes: Flag = Field(
        default=True,
        description="With a read-only secret: archive and revert local edits; false leaves and reports them.",
    )
    max_file_size: Size | None = Field(
        default=None,
        description='Files that are larger, than "10 GB" say, are neither published nor fetched here, and told as '
        "skipped; null: any.",
    )
    hold_rewrites: Flag = Field(
        default=False,
        description="Hold rewritten files until `syncd approve` or `reject` when they are most of the folder; else an "
        "alarm tells of it.",
    )
    folder_rescan_interval: Seconds | None = Field(
        default=None, description="Seconds between full scans of this folder."
    )
    publish_alone_after: Seconds | None = Field(default=None, description="As on the top level, for this folder.")
    conflict_copies: Literal["archive", "beside"] = Field(
        default="archive",
        description="Where the losing versions of a conflict go: to the archive, or there and into the tree, beside the"
        " winner, on this node. See docs/OPERATIONS.md; not for folders whose files a web server runs.",
    )
    on_applied: Annotated[list[HookModel], Field(max_length=MAX_HOOKS)] = Field(
        default=[], description="Commands that run when files from peers are in place. See docs/BALANCER.md."
    )
    use_sync_trash: Flag = Field(
        default=True, description="Displaced files always go to the archive; false has no effect."
    )


class ListenModel(Model):
    """A service of the node."""

    listen: ListenAddress = Field(description="host:port; :port listens on all addresses.")


class HttpModel(ListenModel):
    """What may be asked by HTTP, without a password: for addresses that only the machine or its operators reach."""

    status_page: Flag = Field(
        default=False, description="Whether /status shows what `syncd status` does, live and without configuration."
    )


class HaproxyModel(Model):
    """The HAProxy on this machine, whose slots are given to peers that are ready."""

    socket: Annotated[Text, AfterValidator(_socket_path)] = Field(
        description="Path of its local socket with `level admin`; never a TCP address."
    )
    backend: ServerName = Field(description="Name of the backend.")
    slots: ServerName = Field(description='Prefix of its server-template: "node" of `server-template node 1-8 ...`.')
    grace: Seconds = Field(
        default=120.0,
        description="Seconds for which a peer keeps its slot when its syncd is away. HAProxy itself checks its page.",
    )


class LocalCheckModel(Model):
    """The page of this node: visitors are welcome only while it answers, with status 200."""

    url: Annotated[Text, _checked(parse_local_url)] = Field(
        description="Where the page is: http, and an address of this machine as a number."
    )
    host: Annotated[Text, _checked(check_host)] | None = Field(
        default=None, description="Name of the site that is asked for; else that of the URL."
    )
    expect: str = Field(default="", max_length=MAX_EXPECT, description="Text that must be in the first 64 KiB of it.")
    interval: Annotated[Seconds, Field(ge=0.1, le=3_600)] = Field(default=2.0, description="Seconds between two looks.")
    timeout: Annotated[Seconds, Field(ge=0.1, le=60)] = Field(default=2.0, description="Seconds for an answer.")


class LogModel(Model):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe level shown."
    )
    format: Literal["text", "json", "journald"] = Field(
        default="text", description="For people, one JSON object per line, or for the journal of systemd."
    )


class AuditModel(Model):
    """Who changed what, as JSON lines in a file."""

    file: Text = Field(description="The file; its directory must exist. Relative paths start at this file.")
    max_bytes: Annotated[Integer, Field(ge=MIN_AUDIT, le=MAX_AUDIT)] = Field(
        default=100_000_000, description="Size at which the file is moved aside, to FILE.1, and a new one begun."
    )
    files: Annotated[Integer, Field(ge=1, le=1_000)] = Field(
        default=10, description="Files that are kept, the one that is written included."
    )


class WebhookModel(Model):
    """An address that is told what happens on the node, by HTTP."""

    url: Annotated[Text, Field(max_length=MAX_URL), _checked(check_webhook)] = Field(
        description="Where to: https or http. It is shown nowhere but for its host; ${NAME} keeps it out of the file."
    )
    events: Annotated[list[Told], Field(min_length=1)] = Field(
        default=["state", "ready", "not-ready", "held", "released", "alarm", "damaged", "drained", "undrained"],
        description="Types of events that are told; see docs/OPERATIONS.md.",
    )
    timeout: Annotated[Seconds, Field(ge=0.1, le=60)] = Field(default=5.0, description="Seconds for an answer.")


class ConfigModel(Model):
    """The whole file."""

    schema_place: Text | None = Field(
        default=None,
        alias="$schema",
        description="Where editors find this schema: `syncd sample-config --schema` prints it.",
    )
    include: Annotated[list[Text], Field(max_length=MAX_HOSTS)] = Field(
        default=[],
        description="Files, or patterns of files, whose keys are taken in; their shared_folders are added.",
    )
    device_name: Annotated[Text, Field(max_length=MAX_NAME_FIELD)] | None = Field(
        default=None, description="Name of this node; else its host name."
    )
    listening_address: Annotated[Text, _checked(check_host)] | None = Field(
        default=None, description="Address to listen on; else all."
    )
    listening_port: Annotated[Integer, Field(ge=0, le=65535)] = Field(
        default=DEFAULT_PORT, description="TCP and UDP port; 0 means the default."
    )
    advertise_address: Annotated[Text, _checked(parse_advertised)] | None = Field(
        default=None,
        description="address:port that is told to peers; else the one that they see. none: listen nowhere, dial out.",
    )
    allow_networks: Annotated[list[NetworkText], Field(min_length=1, max_length=MAX_NETWORKS)] | None = Field(
        default=None,
        description="Networks where peers may be, such as 10.0.0.0/8: nobody else is dialled or listened to.",
    )
    service: Annotated[Text, _checked(_service)] | None = Field(
        default=None, description="IP address and port of the page on this node, told to the peer beside a balancer."
    )
    storage_path: Text | None = Field(
        default=None, description="State of the node; else /var/lib/syncd for root, $XDG_STATE_HOME/syncd for others."
    )
    shared_folders: Annotated[list[FolderModel], Field(min_length=1, max_length=MAX_FOLDERS_PER_PORT)] = Field(
        description="The replicated directories."
    )
    priority: Annotated[list[PriorityModel], Field(max_length=MAX_CLASSES)] = Field(
        default=[], description="Classes of all folders that have none of their own."
    )
    folder_rescan_interval: Seconds = Field(
        default=600.0, description="Seconds between full scans of a folder; 0: never."
    )
    publish_alone_after: Seconds = Field(
        default=10.0, description="Seconds without any peer after which a new node publishes the files it found."
    )
    upload_limit: Rate = Field(default=0, description="kB/s; 0: unlimited.")
    download_limit: Rate = Field(default=0, description="kB/s; 0: unlimited.")
    flush_timeout: Annotated[Seconds, Field(le=3_600)] = Field(
        default=5.0,
        description="Most seconds that a stop waits until some peer has what changed here; 0: none.",
    )
    min_free: DiskSpace = Field(default="5%", description="Free space below which nothing is fetched.")
    archive_max: DiskSpace = Field(default="10%", description="Most that the archive of displaced files may take.")
    sync_trash_ttl: Annotated[Integer, Field(ge=1, le=36_500)] = Field(
        default=30, description="Days that displaced files are kept."
    )
    http: HttpModel | None = Field(default=None, description="HTTP service with /livez, /readyz and /metrics.")
    agent_check: ListenModel | None = Field(default=None, description="Port for HAProxy's agent-check.")
    haproxy: HaproxyModel | None = Field(
        default=None, description="Beside a balancer: fill its slots with the peers that announce a `service`."
    )
    local_check: LocalCheckModel | None = Field(
        default=None, description="For the agent check and /readyz: the page of this node must answer, too."
    )
    webhook: WebhookModel | None = Field(
        default=None, description="An address that is told of changes; else nobody is told anything."
    )
    log: LogModel = Field(default=LogModel(), description="What is logged.")
    audit: AuditModel | None = Field(default=None, description="The audit log; else none is written.")
    sandbox: Literal["none", "landlock"] = Field(
        default="none",
        description="landlock: the kernel keeps the process inside its folders and its storage (Linux 5.19 or newer).",
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration."""
    found = ConfigModel.model_json_schema(by_alias=True)
    _let_variables_in(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _let_variables_in(part: Any) -> None:
    """Numbers and truth values may be given as `"${NAME}"`."""
    if isinstance(part, list):
        for item in part:
            _let_variables_in(item)
    elif isinstance(part, dict):
        for item in part.values():
            _let_variables_in(item)
        if part.get("type") in ("integer", "number", "boolean"):
            part["type"] = [part["type"], "string"]
            part["pattern"] = r"^\$\{.*\}$"
