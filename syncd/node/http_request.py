"""What a request over the control socket names: folders, paths, numbers. What is unclear is answered in a sentence."""

import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from protocol.errors import BadPath
from protocol.paths import check_path
from syncd.core.replica import Refused
from syncd.node.folder import Folder

MAX_NUMBER: Final = 10**9

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred of unix(7): process, user, group

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unclear(Exception):
    """The request names no folder, path or version; the message says what is missing. status: of HTTP."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def guarded(handler: Handler) -> Handler:
    """The handler, with its errors as answers."""

    async def safe(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Unclear as error:
            return web.json_response({"error": str(error)}, status=error.status)
        except BadPath as error:
            return web.json_response({"error": str(error)}, status=400)
        except Refused as error:
            return web.json_response({"error": str(error)}, status=409)
        except OSError as error:
            return web.json_response({"error": error.strerror or str(error)}, status=500)

    return safe


def chosen(request: web.Request, folders: Sequence[Folder]) -> list[Folder]:
    """The folders that `folder` names, all without it. Raises Unclear."""
    wanted = request.query.get("folder")
    found = [folder for folder in folders if wanted is None or folder.settings.dir == wanted]
    if not found:
        raise Unclear(f"no folder {wanted} in this node", 400 if wanted is None else 404)
    return found


def one(request: web.Request, folders: Sequence[Folder]) -> Folder:
    """The folder that is meant. Raises Unclear where there are several."""
    found = chosen(request, folders)
    if len(found) > 1:
        raise Unclear(f"this node has {len(found)} folders: name one with --folder DIR")
    return found[0]


def path_of(request: web.Request, folders: Sequence[Folder]) -> bytes:
    """`path`, in hex: one in a folder; whole paths of the machine are understood, too. Raises Unclear, BadPath."""
    path = hex_of(request, "path")
    for folder in folders:
        path = path.removeprefix(os.fsencode(folder.settings.dir) + b"/")
    path = path.strip(b"/")
    check_path(path)
    return path


def hex_of(request: web.Request, name: str) -> bytes:
    """A value in hex: names are bytes. Raises Unclear."""
    try:
        return bytes.fromhex(request.query[name])
    except (KeyError, ValueError):
        raise Unclear(f"{name} is missing, or not in hex") from None


def number_of(request: web.Request, name: str, default: int, most: int = MAX_NUMBER) -> int:
    """A whole number from 0 on, `most` at most. Raises Unclear."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise Unclear(f"{name} is a whole number from 0 to {most}")
    return int(text)


def asker(request: web.Request) -> str:
    """Who asks, as the kernel knows: the user at the other end of the control socket."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is None or sock.family != socket.AF_UNIX:
        return ""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return f"uid {uid}, process {pid}"


def flag_of(request: web.Request, name: str) -> bool:
    """A truth value, false where it is not said. Raises Unclear."""
    text = request.query.get(name, "0")
    if text not in ("0", "1"):
        raise Unclear(f"{name} is 1 or 0")
    return text == "1"
