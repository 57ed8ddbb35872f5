"""What the operator said: one commented JSON file, checked and explained.

Importing this package is cheap; `load` brings in the models when it is called.
"""

import os
from collections.abc import Mapping

from syncd.config.errors import ConfigError, OperatorError
from syncd.config.hosts import DEFAULT_PORT, HostKind, KnownHost, Listen
from syncd.config.settings import Folder, Loaded, Log, Ready, Settings
from syncd.config.values import Amount

__all__ = [
    "DEFAULT_PORT",
    "Amount",
    "ConfigError",
    "Folder",
    "HostKind",
    "KnownHost",
    "Listen",
    "Loaded",
    "Log",
    "OperatorError",
    "Ready",
    "Settings",
    "load",
]


def load(path: str, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read, check and resolve a configuration file for this machine. Raises ConfigError with the place of the fault."""
    from syncd.config.loader import load_file

    return load_file(path, os.environ if environment is None else environment)
