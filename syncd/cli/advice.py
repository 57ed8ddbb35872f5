"""What to do about what a status shows. By state and operation, never by the text of a reason."""

STATES = {
    "waiting": "no peer with a complete copy has answered yet: are the peers running, are their addresses in "
    "known_hosts, does a firewall let TCP and UDP of the listening port through?",
    "held": "something unusual was found in the folder: it is not published until you have said what it was; all else "
    "goes on",
    "error": "the folder does not work until what is listed below is mended; then run `syncd rescan`",
}

ONLY_READERS = (
    "all nodes here have the read-only secret: what is in their folders is published by none of them; start one with "
    "the read-write secret"
)

STRANGER = (
    "somebody answers there who has another secret, or is not syncd: compare the six characters behind `secret` above "
    "with those that `syncd status` shows on the other side"
)

FIRST = (
    "no peer has answered yet. If this node is the first one and shall serve without others, set `ready.alone_after`; "
    "else: are the peers running, are their addresses in known_hosts, does a firewall let TCP and UDP of the listening "
    "port through?"
)

OPERATIONS = {
    "read": "let the user of syncd read it (chmod, chown), or add it to `ignore`",
    "list": "let the user of syncd list the directory (chmod, chown), or add it to `ignore`",
    "write": "let the user of syncd write here and make room on the disk; it is tried again by itself",
    "remove": "files that take no part in replication are left in it: move or delete them",
    "fetch": "no connected peer offers it: it comes when one that has it connects",
    "skip": "nothing to do if that is meant: only files, directories and links are replicated, as far as `symlinks` "
    "and `max_file_size` let them",
    "conflict": "too many versions compete there: see `syncd conflicts list`, restore one or dismiss them; the edit "
    "is published with the next scan",
    "keep": "nothing is lost; to see and get it: `syncd archive list PATH`, `syncd archive restore ID --to FILE`",
    "name": "rename it on the node it came from",
    "index": "make room where the path says, or mend that disk; until then nothing is published or applied here, and "
    "what is here is served",
    "sync": "the disk does not confirm what was written: look at the kernel's log; peers are told nothing of it until "
    "it does",
    "damaged": "an unclean stop left it so: it is fetched from a peer or taken from the archive, and what is left is "
    "archived. If nobody has it, put it back from a backup, or write to it: what differs from what was left is an edit",
    "space": "remove what is not needed there, or lower `min_free`; it goes on by itself. What is here is served, "
    "deletions go on",
    "hook": "mend the command: it runs again with the next change, and when the node starts",
    "watch": "raise fs.inotify.max_user_watches; until then changes are found by scanning",
}

AUDIT = "let the user of syncd write the file, and make room for it; it is tried again by itself, and syncing goes on"

WEBHOOK = "look at the service there, and at webhook.url; it is tried again by itself, and syncing goes on"


def for_state(state: str, only_readers: bool = False, other_secret: bool = False, first: bool = False) -> str | None:
    """What to do about a folder in `state`; None if nothing. only_readers: this node and all that are connected.

    other_secret: nobody is connected, and whoever answered somewhere has another secret. first: nobody is connected,
    and what is here is published.
    """
    if state != "waiting":
        return STATES.get(state)
    if only_readers or other_secret:
        return ONLY_READERS if only_readers else STRANGER
    return FIRST if first else STATES[state]


def for_operation(operation: str) -> str | None:
    """What to do about a problem with `operation`; None if nothing general can be said."""
    return OPERATIONS.get(operation)
