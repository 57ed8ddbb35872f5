"""Asking the running node: HTTP over the unix socket in its storage. Needs neither aiohttp nor the models."""

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from syncd.config.errors import OperatorError
from syncd.config.include import read_document
from syncd.config.jsonc import child
from syncd.config.location import control_socket, storage_path_of

ANSWER_TIMEOUT = 10.0  # seconds that an answer may take beyond what it was asked to wait
FETCH_TIMEOUT = 600.0  # seconds until the first bytes come: a large content is hashed before
FETCH_STEP = 1 << 20  # bytes read at once
SILENCE = 60.0  # seconds without a sign of life of a node that tells its events
MAX_LINE = 1 << 20  # bytes of one event
MAX_ANSWER = 64 << 20  # bytes


Query = Mapping[str, str] | Sequence[tuple[str, str]]


class NotRunning(OperatorError):
    """There is no node behind the control socket, or it went away while it was asked."""


class Answer(NamedTuple):
    """An HTTP status and the JSON object that came with it."""

    status: int
    body: dict[str, Any]

    def checked(self) -> "Answer":
        """This answer if it is a success. Raises OperatorError with the node's own words otherwise."""
        if self.status < 300:
            return self
        said = str(self.body.get("error") or self.body.get("reason") or f"the node answered {self.status}")
        raise OperatorError(said, os.EX_USAGE if self.status < 500 else os.EX_UNAVAILABLE)


class Client:
    """Asks the node of one configuration. Each request is a connection of its own."""

    def __init__(self, config: str) -> None:
        self.config = config
        self.socket = control_socket(storage_path_of(config))

    def ask(self, method: str, path: str, query: Query | None = None, timeout: float = 0.0) -> Answer:
        """One request; `timeout`: seconds that the node was asked to wait. Raises OperatorError, NotRunning."""
        target = f"{path}?{urlencode(query)}" if query else path
        connection = _UnixConnection(self.socket, timeout + ANSWER_TIMEOUT)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return Answer(response.status, _decoded(response.read(MAX_ANSWER + 1)))
        except PermissionError:
            raise self._forbidden() from None
        except TimeoutError:
            message = f"the node behind {self.socket} does not answer; look at its log"
            raise OperatorError(message, os.EX_UNAVAILABLE) from None
        except (OSError, http.client.HTTPException):
            raise self._absent() from None
        finally:
            connection.close()

    def fetch(self, path: str, query: Mapping[str, str], write: Callable[[bytes], object]) -> Mapping[str, str]:
        """Have the bytes that a request is answered with written piece by piece; the answer's headers.

        Raises OperatorError, NotRunning, OSError of `write`.
        """
        connection = _UnixConnection(self.socket, FETCH_TIMEOUT)
        try:
            try:
                connection.request("GET", f"{path}?{urlencode(query)}")
                response = connection.getresponse()
            except PermissionError:
                raise self._forbidden() from None
            except (OSError, http.client.HTTPException):
                raise self._absent() from None
            if response.status >= 300:
                Answer(response.status, _decoded(response.read(MAX_ANSWER + 1))).checked()
            left = int(response.getheader("Content-Length", "0"))
            while left and (data := _piece(response, left)):
                write(data)
                left -= len(data)
            if left:
                raise OperatorError("the node broke off in the middle; look at its log", os.EX_UNAVAILABLE)
            return dict(response.getheaders())
        finally:
            connection.close()

    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The JSON objects of an answer that comes line by line, each when it comes. Raises OperatorError, NotRunning.

        A node that ends, ends them; one that breaks off or falls silent is an error.
        """
        connection = _UnixConnection(self.socket, SILENCE)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}")
            response = connection.getresponse()
            if response.status >= 300:
                Answer(response.status, _decoded(response.read(MAX_ANSWER + 1))).checked()
            while line := response.readline(MAX_LINE):
                if line.strip():
                    yield _decoded(line)
        except PermissionError:
            raise self._forbidden() from None
        except (OSError, http.client.HTTPException):
            raise self._absent(", or it went away") from None
        finally:
            connection.close()

    def _absent(self, more: str = "") -> NotRunning:
        """A file that names no storage may have meant to: then it is the node of another storage that runs."""
        named = child(read_document(self.config).root, "storage_path") is not None
        where = "" if named else f" (it names no storage_path, so {os.path.dirname(self.socket)} was looked at)"
        message = f"no node is running for {self.config}{where}{more}; start one with: syncd --config {self.config}"
        return NotRunning(message, os.EX_UNAVAILABLE)

    def _forbidden(self) -> OperatorError:
        return OperatorError(
            f"{self.socket} may be used by the user of the node only; run this as that user, or with sudo", os.EX_NOPERM
        )


def _piece(response: http.client.HTTPResponse, left: int) -> bytes:
    """The next bytes of an answer; none if it was broken off."""
    try:
        return response.read(min(left, FETCH_STEP))
    except (OSError, http.client.HTTPException):
        return b""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def _decoded(data: bytes) -> dict[str, Any]:
    if not data.strip():
        return {}
    try:
        body = json.loads(data) if len(data) <= MAX_ANSWER else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise OperatorError("the node's answer makes no sense; is it of another version?", os.EX_UNAVAILABLE)
    return body
