"""Which folders a verb is about, and which peers it asks for them."""

import os
from typing import TYPE_CHECKING

from syncd.config.errors import OperatorError

if TYPE_CHECKING:
    from syncd.config import Folder, KnownHost, Settings


def chosen_folders(settings: "Settings", path: str, named: str | None) -> "list[Folder]":
    """The folder whose directory is named, or all. path: of the configuration.

    Raises OperatorError if there is no such folder.
    """
    folders = [each for each in settings.folders if named is None or each.dir == os.path.abspath(named)]
    if not folders:
        raise OperatorError(f"no folder {named} in {path}", os.EX_USAGE)
    return folders


def asked_hosts(folder: "Folder", peer: str | None, option: str = "") -> "tuple[KnownHost, ...]":
    """The peer that was named, or the known hosts of the folder.

    option: of the verb, by which a peer is named; an argument, where there is none. Raises OperatorError if that names
    no host, or if the folder knows none.
    """
    from syncd.config.hosts import parse_known_host

    try:
        hosts = (parse_known_host(peer),) if peer is not None else folder.known_hosts
    except ValueError as error:
        raise OperatorError(f"{option or peer}: {error}", os.EX_USAGE) from None
    if not hosts:
        how = f" with {option}" if option else ", as"
        raise OperatorError(f"{folder.dir} knows no peer: name one{how} HOST:PORT", os.EX_USAGE)
    return hosts
