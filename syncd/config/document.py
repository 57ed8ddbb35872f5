"""A configuration file as it stands on the disk: its tree of values, and errors that point into it."""

import os
from collections.abc import Mapping

from syncd.config.environment import expand
from syncd.config.errors import ConfigError
from syncd.config.jsonc import Loc, Node, Position, SyntaxFault, find, parse

MAX_FILE = 1 << 20  # bytes of a configuration file


class Document:
    """The parsed file, with those that it includes. `written` is the tree as it stands there, `root` the one that is
    worked on. modes: permission bits of the files, by the name that their places bear.
    """

    def __init__(self, file: str, written: Node, root: Node, modes: Mapping[str, int]) -> None:
        self.file = file
        self.written = written
        self.root = root
        self.modes = modes

    def filled(self, environment: Mapping[str, str]) -> "Document":
        """The document with variables filled in. Raises ConfigError at a text whose variable is not set."""
        try:
            return Document(self.file, self.written, expand(self.written, environment), self.modes)
        except SyntaxFault as fault:
            raise self.error_at(fault.at, fault.message) from None

    @property
    def directory(self) -> str:
        """Where relative paths in the file start."""
        return os.path.dirname(os.path.abspath(self.file))

    def path(self, text: str) -> str:
        """A path of the file as an absolute one."""
        return os.path.normpath(os.path.join(self.directory, os.path.expanduser(text)))

    def error(self, loc: Loc, message: str, code: int = os.EX_CONFIG, *, key: bool = False) -> ConfigError:
        """An error about the value at `loc`, or about its key."""
        name = name_of(loc)
        return self.error_at(self.place(loc, key), f"{name}: {message}" if name else message, code)

    def error_at(self, at: Position, message: str, code: int = os.EX_CONFIG) -> ConfigError:
        """An error that points at a place in this file. code: exit status of sysexits."""
        return ConfigError(at.file or self.file, at.line, at.column, message, code)

    def where(self, at: Position) -> str:
        """A place as it stands before messages."""
        return f"{at.file or self.file}:{at.line}:{at.column}"

    def place(self, loc: Loc, key: bool = False) -> Position:
        """Where the value at `loc`, or its key, begins; the innermost object around it if it is not there."""
        if key and loc:
            around = find(self.root, loc[:-1])
            if isinstance(around.value, dict) and isinstance(loc[-1], str) and loc[-1] in around.value:
                return around.value[loc[-1]].key_at
        return find(self.root, loc).at

    def literal(self, loc: Loc) -> bool:
        """Whether the text at `loc` is written out in the file, with no part of it from the environment."""
        written = find(self.written, loc).value
        return isinstance(written, str) and written == find(self.root, loc).value


def name_of(loc: Loc) -> str:
    """A place as an operator writes it: shared_folders[0].dir."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def parse_file(path: str, name: str = "") -> tuple[Node, int]:
    """The tree of a file, and its permission bits. name: what places in it bear. Raises ConfigError."""
    data, mode = _read(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        raise ConfigError(path, line, column, "this byte is not UTF-8; save the file as UTF-8") from None
    try:
        root = parse(text, name)
    except SyntaxFault as fault:
        raise ConfigError(path, fault.at.line, fault.at.column, fault.message) from None
    if not isinstance(root.value, dict):
        raise ConfigError(path, root.at.line, root.at.column, "the configuration is an object: { ... }")
    return root, mode


def _read(path: str) -> tuple[bytes, int]:
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            mode = os.fstat(stream.fileno()).st_mode & 0o7777
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        message = "there is no such file; `syncd init --dir DIR` writes one"
        raise ConfigError(path, 0, 0, message) from None
    except PermissionError:
        message = "permission denied; run as a user who may read it, or with sudo"
        raise ConfigError(path, 0, 0, message, os.EX_NOPERM) from None
    except OSError as error:
        raise ConfigError(path, 0, 0, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigError(path, 0, 0, f"is larger than {MAX_FILE} bytes; this is not a configuration")
    return data, mode


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO by that name must not make the node hang
