"""Copying bytes that a node keeps into a file of whoever asks: never over one that is there."""

import os
import time
from collections.abc import Mapping

from syncd.cli.client import Client
from syncd.cli.files import cannot_create
from syncd.cli.options import tell
from syncd.cli.wording import clean
from syncd.config.errors import OperatorError

DECISION_SECONDS = 600.0  # that a node may take: it hashes what it puts back


def folder_query(folder: str | None) -> dict[str, str]:
    """The query that names a folder."""
    return {} if folder is None else {"folder": os.path.abspath(folder)}


def decide(client: Client, target: str, query: Mapping[str, str], done: str, as_json: bool) -> None:
    """Have the node do something about a path, and tell what was `done`. Raises OperatorError."""
    answer = client.ask("POST", target, query, DECISION_SECONDS).checked().body
    late = "" if answer["applied"] else "; the disk does not hold it yet, see syncd status"
    tell(as_json, answer, [f"{done}: {clean(answer['path'])}{late}"])


def copy_out(client: Client, target: str, query: Mapping[str, str], path: str, as_json: bool) -> None:
    """Copy a content to a new file, with the mode and time that it had. Raises OperatorError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise cannot_create(path, error) from None
    try:
        with open(fd, "wb") as stream:
            headers = client.fetch(target, query, stream.write)
            stream.flush()
            os.fchmod(stream.fileno(), int(headers["X-Mode"], 8) & 0o777)
            os.utime(stream.fileno(), ns=(time.time_ns(), int(headers["X-Mtime"])))
            os.fsync(stream.fileno())
    except OperatorError:
        os.unlink(path)
        raise
    except (KeyError, ValueError):
        os.unlink(path)
        message = "the node's answer makes no sense; is it of another version?"
        raise OperatorError(message, os.EX_UNAVAILABLE) from None
    except OSError as error:
        os.unlink(path)
        raise cannot_create(path, error) from None
    tell(as_json, {"copied_to": path}, [f"copied to {path}"])


def moment(ns: int) -> str:
    """A time as people read it, of this machine's time zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns / 1e9))
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
