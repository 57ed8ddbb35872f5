"""What a node runs with: every key resolved, every default filled in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.config.hosts import KnownHost, Listen, Network
from syncd.config.values import Amount

if TYPE_CHECKING:
    from protocol.keys import FolderKeys
    from syncd.core.priority import PriorityClass


@dataclass(frozen=True, slots=True)
class Ready:
    """When the node may be given traffic."""

    classes: tuple[str, ...]  # classes that must be complete; empty: all of the folder's
    alone_after: float | None  # seconds without a settled peer after which a folder with files is ready; None: never
    allow_empty: bool  # a class without any record counts as complete
    max_need: float = 5.0  # percent of the folder's files that a class which was ready may need and stay ready
    max_lag: float = 60.0  # seconds for which it may need more than that and stay ready


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that runs when files were applied."""

    match: tuple[str, ...]  # patterns
    command: tuple[str, ...]  # an absolute path, and arguments
    quiet: float  # seconds
    timeout: float  # seconds
    retries: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A replicated directory."""

    dir: str  # absolute
    keys: "FolderKeys"
    known_hosts: tuple[KnownHost, ...]
    search_lan: bool
    priority: "tuple[PriorityClass, ...]"  # as Priority takes it; empty: one class, "rest"
    atomic: tuple[str, ...]
    ignore: tuple[str, ...]
    owner: int | None  # numeric user that written files get; None: the node's own
    group: int | None
    file_mode: int | None  # permission bits that files get here; None: those of the author
    dir_mode: int | None
    symlinks: str  # "all", "inside" or "none"
    ready: Ready
    overwrite_changes: bool
    folder_rescan_interval: float  # seconds
    publish_alone_after: float  # seconds
    conflict_copies: str  # "archive" or "beside"
    on_applied: tuple[Hook, ...] = ()
    max_file_size: int | None = None  # bytes of the largest file that takes part; None: any
    hold_rewrites: bool = False  # most files rewritten within minutes wait for the operator's word


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how."""

    level: str  # "debug", "info", "warning" or "error"
    format: str  # "text", "json" or "journald"


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the audit log goes."""

    file: str  # absolute
    max_bytes: int  # of one file
    files: int  # kept at most, the one that is written included


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events of the node are told."""

    url: str
    events: tuple[str, ...]  # types
    timeout: float  # seconds for an answer


@dataclass(frozen=True, slots=True)
class Haproxy:
    """The balancer on this machine that is told of peers."""

    socket: str  # path
    backend: str
    slots: str  # prefix of the server-template
    grace: float  # seconds for which a peer that is away keeps its slot


@dataclass(frozen=True, slots=True)
class LocalCheck:
    """The page of this node, which has to answer before visitors come."""

    url: str
    host: str  # for the Host header; empty: that of the URL
    expect: str  # text that must be in the answer
    interval: float  # seconds
    timeout: float  # seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration of a node."""

    file: str  # the configuration file, absolute
    device_name: str
    listening_address: str  # empty: all addresses
    listening_port: int  # TCP and UDP
    advertise_address: str  # address:port told to peers; empty: what they see; "none": dial out only
    allow_networks: tuple[Network, ...]  # where peers may be; empty: anywhere
    service: str  # host:port that a load balancer shall use; empty: none
    storage_path: str  # absolute
    folders: tuple[Folder, ...]
    upload_limit: int  # bytes per second; 0: unlimited
    download_limit: int
    min_free: Amount
    archive_max: Amount
    archive_ttl: float  # seconds that displaced files are kept
    http: Listen | None
    agent_check: Listen | None
    log: Log
    audit: Audit | None
    sandbox: str  # "none" or "landlock"
    haproxy: Haproxy | None = None
    local_check: LocalCheck | None = None
    webhook: Webhook | None = None
    status_page: bool = False  # whether `http` has it
    flush_timeout: float = 5.0  # seconds for which a stop waits until a peer has what is here


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and what the operator should know about them, one line each."""

    settings: Settings
    warnings: list[str]
