"""Which configuration is meant, and where its node lives. A client verb pays for no more than parsing the file."""

import os
from collections.abc import Mapping

from syncd.config.document import Document
from syncd.config.environment import expand, left_out
from syncd.config.errors import ConfigError
from syncd.config.include import read_document
from syncd.config.jsonc import SyntaxFault, child

CONFIG_VARIABLE = "SYNCD_CONFIG"
PLACES = ("./sync.json", "/etc/syncd/sync.json")
CONTROL_SOCKET = "control.sock"
MAX_SOCKET_PATH = 107  # bytes that an address of a unix socket holds on Linux


def find_config(given: str | None, environment: Mapping[str, str]) -> str:
    """The configuration file: the one given, else $SYNCD_CONFIG, else the first of PLACES. Raises ConfigError."""
    named = given or environment.get(CONFIG_VARIABLE)
    if named:
        return named
    for place in PLACES:
        if _may_be_there(place):
            return os.path.normpath(place)
    looked = " or ".join(PLACES)
    message = f"no configuration in {looked}; give --config FILE, or write one with `syncd init --dir DIR`"
    raise ConfigError("syncd", 0, 0, message)


def _may_be_there(path: str) -> bool:
    """Also if this user may not look: then whoever reads the file says so, not that there is none."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def storage_path_of(path: str, environment: Mapping[str, str] | None = None) -> str:
    """The storage_path that the configuration at `path` stands for. Nothing else in the file needs to make sense.

    A shell that asks for the status need not have the variables that the node was started with. Raises ConfigError.
    """
    return storage_of(read_document(path), os.environ if environment is None else environment)


def storage_of(document: Document, environment: Mapping[str, str]) -> str:
    """The absolute storage_path of a document, or its default. Raises ConfigError if it is no text."""
    node = child(document.root, "storage_path")
    if node is None or node.value is None:
        return default_storage(environment)
    try:
        filled = expand(node, environment)
    except SyntaxFault as fault:
        raise document.error(("storage_path",), fault.message) from None
    if left_out(node, filled):
        return default_storage(environment)
    if not isinstance(value := filled.value, str) or not value:
        raise document.error(("storage_path",), 'expected a path in double quotes, for example "/var/lib/syncd"')
    return document.path(value)


def default_storage(environment: Mapping[str, str]) -> str:
    """/var/lib/syncd for root, else syncd below $XDG_STATE_HOME (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return "/var/lib/syncd"
    state = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return os.path.join(state, "syncd")
    return os.path.join(os.path.expanduser("~"), ".local/state/syncd")


def control_socket(storage_path: str) -> str:
    """The unix socket on which the node with this storage answers."""
    return os.path.join(storage_path, CONTROL_SOCKET)
