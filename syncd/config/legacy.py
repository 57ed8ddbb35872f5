"""Keys that do nothing here: those of BitTorrent Sync 1.x that have no meaning."""

from syncd.config.document import Document
from syncd.config.jsonc import Member, Node

# accepted and ignored, so that an old file loads: about its trackers, relays, user interface and tuning
IGNORED = frozenset(
    {
        "check_for_updates",
        "config_refresh_interval",
        "config_save_interval",
        "disk_low_priority",
        "external_port",
        "lan_encrypt_data",
        "lan_use_tcp",
        "log_size",
        "log_ttl",
        "max_file_size_diff_for_patching",
        "max_file_size_for_versioning",
        "peer_expiration_days",
        "pid_file",
        "profiler_enabled",
        "rate_limit_local_peers",
        "recv_buf_size",
        "send_buf_size",
        "send_statistics",
        "sync_max_time_diff",
        "use_gui",
        "use_upnp",
        "webui",
    }
)
IGNORED_IN_FOLDER = frozenset({"use_dht", "use_relay_server", "use_tracker"})


def without_ignored(document: Document) -> tuple[Document, list[str]]:
    """The document less the keys that are ignored, and one warning that names them all."""
    ignored: list[str] = []
    root = _without(document.root, IGNORED | IGNORED_IN_FOLDER, ignored)
    folders = root.value.get("shared_folders") if isinstance(root.value, dict) else None
    if isinstance(root.value, dict) and folders and isinstance(folders.node.value, tuple):
        items = tuple(_without(item, IGNORED_IN_FOLDER, ignored) for item in folders.node.value)
        member = Member(folders.key_at, Node(folders.node.at, items))
        root = Node(root.at, root.value | {"shared_folders": member})
    rest = Document(document.file, document.written, root, document.modes)
    if not ignored:
        return rest, []
    text = f"ignored, because these keys of BitTorrent Sync mean nothing here: {', '.join(ignored)}"
    return rest, [f"{document.file}: {text}"]


def _without(node: Node, keys: frozenset[str], ignored: list[str]) -> Node:
    if not isinstance(node.value, dict):
        return node
    for key, member in node.value.items():
        if key in keys:
            ignored.append(f"{key} (line {member.key_at.line})")
    return Node(node.at, {key: member for key, member in node.value.items() if key not in keys})
