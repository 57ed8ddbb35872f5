"""What users do to the tree of a node: plain lists, so that a case can be stored, replayed and shrunk."""

import hashlib
import random
import shutil
from stat import S_ISDIR, S_ISREG
from typing import Any

from protocol.limits import SMALL_FILE
from syncd.store.watch import Cause
from tests.sim.whole.machine import files
from tests.sim.whole.node import SimNode

PATHS = ("a", "a/b", "a/b/c", "a/c", "a-b", "b", "b/a", "b/x.php", "d/e/f", "d/g", "u/1.jpg", "u/2.jpg", "n\u00e4")
CROWDED = ("a", "a/b", "a/b/c", "b")
LARGE = 70_000  # bytes: more than travels along with a record, and more than one block
PLUGIN = "p/x"  # a unit; the one node that changes it is PUBLISHER
PUBLISHER = 1
MODES = (0o600, 0o640, 0o644, 0o700, 0o755)
Op = list[Any]


def draw_op(rng: random.Random, nodes: int, token: int, paths: tuple[str, ...] = PATHS) -> Op:
    """An operation of some user. Paths that are not there when it happens make it do nothing."""
    node, path, other, draw = rng.randint(1, nodes), rng.choice(paths), rng.choice(paths), rng.random()
    if draw < 0.42:
        kind = rng.choices(("small", "fixed", "large", "empty"), (9, 3, 2, 1))[0]
        return ["write", node, path, token, kind, rng.choice(("place", "place", "rename"))]
    if draw < 0.48:
        return ["append", node, path, token]
    if draw < 0.60:
        return ["remove", node, path]
    if draw < 0.70:
        return ["rename", node, path, other]
    if draw < 0.75:
        return ["mkdir", node, path]
    if draw < 0.83:
        return ["chmod", node, path, rng.choice(MODES)]
    if draw < 0.88:
        return ["touch", node, path, rng.choice((0, 0, 10, -3600))]
    if draw < 0.91:
        return ["symlink", node, path, rng.choice(("a", "../../outside", "/etc", "b/x.php"))]
    if draw < 0.94:
        return ["swap", node, path, other]
    if draw < 0.97:
        return ["copy", node, path, other]
    return ["special", node, path]


def draw_release(rng: random.Random, token: int) -> Op:
    """Somebody brings another version of the plugin, or removes it."""
    return ["release", PUBLISHER, token, rng.choice(("place", "place", "moved", "moved", "removed"))]


def content_of(token: int, kind: str) -> bytes:
    """The bytes that a write brings: no two tokens have the same, but empty ones."""
    if kind == "empty":
        return b""
    if kind == "large":
        seed = random.Random(token)
        return b"<%06d large>" % token + seed.randbytes(LARGE + token % 4 * 40_000 + token)
    return b"<%06d>" % token + b"x" * (0 if kind == "fixed" else token * 37 % 900)


def name_of(content: bytes) -> bytes:
    """What a content is called in the books."""
    return hashlib.blake2b(content, digest_size=12).digest()


class Users:
    """written: {(path, content): times}. dismissed: those that a user replaced or removed, having them on the disk."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.known = {name_of(b"")}
        self.written: dict[tuple[str, bytes], int] = {}
        self.dismissed: set[tuple[str, bytes]] = set()
        self.disturbed: set[str] = set()  # paths that a user removed, moved, or put something else than a file at
        self.releases: list[dict[str, bytes]] = []  # {path: content} of each version of the plugin
        self.small: dict[bytes, bytes] = {}  # {content: its bytes}
        self.inside = False  # whether this happens inside of a call
        self.raced: set[tuple[str, bytes]] = set()  # given up where that need not be noticed
        self._given_up: dict[tuple[str, bytes], tuple[int, float]] = {}  # by whom and when
        self.read_only: set[tuple[str, bytes]] = set()  # those written on nodes whose edits do not count

    def do(self, op: Op) -> None:
        """One operation."""
        node = self.world.nodes[op[1] - 1]
        leads_elsewhere = any(self._leads_elsewhere(node, path) for path in op[2:] if isinstance(path, str))
        if node.left or leads_elsewhere:  # whose machine is gone has no users
            return
        try:
            getattr(self, "_" + op[0])(node, *op[2:])
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError):
            pass

    def _leads_elsewhere(self, node: SimNode, path: str) -> bool:
        parts = path.split("/")
        return any(files.path.islink(self.full(node, "/".join(parts[:depth]))) for depth in range(1, len(parts)))

    # ---- the books

    def wrote(self, node: SimNode, path: str, content: bytes) -> None:
        key = path, name_of(content)
        self.known.add(key[1])
        if 0 < len(content) <= SMALL_FILE:
            self.small[key[1]] = content
        self.written[key] = self.written.get(key, 0) + 1
        self.dismissed.discard(key)
        if node.read_only and self.written[key] == 1:
            self.read_only.add(key)
        elif not node.read_only:
            self.read_only.discard(key)

    def gives_up(self, node: SimNode, path: str, disturbs: bool) -> None:
        """The user does away with what is at the path, and below it."""
        full = self.full(node, path)
        if files.path.isdir(full) and not files.path.islink(full):
            for name in files.listdir(full):
                self.gives_up(node, f"{path}/{name}", disturbs)
        elif files.path.isfile(full) and not files.path.islink(full):
            with files.file(full, "rb") as file:
                key = path, name_of(file.read())
                if not node.read_only or key in self.read_only:  # elsewhere it comes back
                    self.dismissed.add(key)
                    self._given_up[key] = node.number, self.world.loop.time()
                    if self.inside or not node.settled:  # an index that never saw it cannot tell that it is gone
                        self.raced.add(key)
        if disturbs:
            self.disturbed.add(path)

    def lose_track(self, number: int, since: float) -> None:
        """The index of a node was set back to that time: it may know neither what was there since, nor that it went."""
        self.raced.update(key for key, (by, when) in self._given_up.items() if by == number and when >= since)

    def full(self, node: SimNode, path: str) -> str:
        return f"{node.tree}/{path}"

    def tell(self, node: SimNode, path: str, cause: Cause, directory: bool = False) -> None:
        node.sync(path)
        node.notify(files.fsencode(path), cause, directory)

    # ---- operations

    def _parents(self, node: SimNode, path: str) -> None:
        """mkdir -p of what is above; whoever finds a file there removes it."""
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            full = self.full(node, above)
            if files.path.lexists(full) and (files.path.islink(full) or not files.path.isdir(full)):
                self._remove(node, above)
            if not files.path.lexists(full):
                files.mkdir(full)
                self.disturbed.add(above)
                self.tell(node, above, Cause.CREATED, True)

    def _clear(self, node: SimNode, path: str) -> None:
        """What is there is about to be replaced by a file."""
        self._parents(node, path)
        full = self.full(node, path)
        if (
            files.path.islink(full)
            or files.path.isdir(full)
            or (files.path.lexists(full) and not files.path.isfile(full))
        ):
            self._remove(node, path)
        elif files.path.isfile(full):
            self.gives_up(node, path, disturbs=False)

    def _write(self, node: SimNode, path: str, token: int, kind: str, how: str) -> None:
        self._put(node, path, content_of(token, kind), how)

    def _put(self, node: SimNode, path: str, data: bytes, how: str) -> None:
        self._clear(node, path)
        full = self.full(node, path)
        target = full + ".ignored" if how == "rename" else full
        with files.file(target, "wb") as file:
            file.write(data)
        self._stamp(node, target)
        if how == "rename":
            files.rename(target, full)
        self.wrote(node, path, data)
        self.tell(node, path, Cause.CLOSED)

    def _stamp(self, node: SimNode, full: str, age: int = 0) -> None:
        when = node.wall() - age * 1_000_000_000
        files.utime(full, ns=(when, when), follow_symlinks=False)

    def _append(self, node: SimNode, path: str, token: int) -> None:
        full = self.full(node, path)
        if files.path.isfile(full) and not files.path.islink(full):
            with files.file(full, "rb") as file:
                data = file.read()
            self._put(node, path, data + content_of(token, "small"), "place")

    def _remove(self, node: SimNode, path: str) -> None:
        full = self.full(node, path)
        status = files.lstat(full)
        self.gives_up(node, path, disturbs=True)
        if S_ISDIR(status.st_mode):
            for name in sorted(files.listdir(full)):
                self._remove(node, f"{path}/{name}")
            files.rmdir(full)
        else:
            files.unlink(full)
        self.tell(node, path, Cause.REMOVED, S_ISDIR(status.st_mode))

    def _rename(self, node: SimNode, path: str, target: str) -> None:
        full = self.full(node, path)
        if not files.path.lexists(full) or f"{target}/".startswith(f"{path}/") or f"{path}/".startswith(f"{target}/"):
            return
        self._parents(node, target)
        if not files.path.lexists(full):
            return
        if files.path.lexists(self.full(node, target)):
            self._remove(node, target)
        self._move(node, path, target)

    def _move(self, node: SimNode, path: str, target: str) -> None:
        self.gives_up(node, path, disturbs=True)
        files.rename(self.full(node, path), self.full(node, target))
        self.disturbed.add(target)
        for below, data in self._files(node, target):
            self.wrote(node, below, data)
        directory = files.path.isdir(self.full(node, target)) and not files.path.islink(self.full(node, target))
        self.tell(node, path, Cause.MOVED_OUT, directory)
        self.tell(node, target, Cause.CLOSED, directory)

    def _files(self, node: SimNode, path: str) -> list[tuple[str, bytes]]:
        full = self.full(node, path)
        if files.path.isdir(full) and not files.path.islink(full):
            self.disturbed.add(path)
            return [item for name in files.listdir(full) for item in self._files(node, f"{path}/{name}")]
        if files.path.islink(full) or not files.path.isfile(full):
            return []
        with files.file(full, "rb") as file:
            return [(path, file.read())]

    def _swap(self, node: SimNode, path: str, other: str) -> None:
        """Two names change their places, as an editor's backup or a deployment does it."""
        nested = f"{other}/".startswith(f"{path}/") or f"{path}/".startswith(f"{other}/")
        if nested or not all(files.path.lexists(self.full(node, name)) for name in (path, other)):
            return
        self._move(node, path, "swap.ignored")
        self._move(node, other, path)
        self._move(node, "swap.ignored", other)

    def _copy(self, node: SimNode, path: str, target: str) -> None:
        for below, data in self._files(node, path):
            if target != path and not f"{target}/".startswith(f"{path}/"):
                self._put(node, target + below[len(path) :], data, "place")

    def _mkdir(self, node: SimNode, path: str) -> None:
        self._parents(node, path + "/x")

    def _chmod(self, node: SimNode, path: str, mode: int) -> None:
        full = self.full(node, path)
        status = files.lstat(full)
        if S_ISDIR(status.st_mode):
            mode |= 0o700
        elif not S_ISREG(status.st_mode):
            return
        files.chmod(full, mode)
        self.tell(node, path, Cause.CHANGED, S_ISDIR(status.st_mode))

    def _touch(self, node: SimNode, path: str, age: int) -> None:
        full = self.full(node, path)
        if S_ISREG(files.lstat(full).st_mode):
            self._stamp(node, full, age)
            self.tell(node, path, Cause.CHANGED)

    def _symlink(self, node: SimNode, path: str, target: str) -> None:
        self._parents(node, path)
        full = self.full(node, path)
        if files.path.lexists(full):
            self._remove(node, path)
        self.disturbed.add(path)
        files.symlink(target, full)
        self._stamp(node, full)
        self.tell(node, path, Cause.CLOSED)

    def _special(self, node: SimNode, path: str) -> None:
        """A FIFO comes and goes: it takes no part."""
        full = self.full(node, path)
        if not files.path.lexists(full) and files.path.isdir(files.path.dirname(full)):
            files.mkfifo(full)
            self.tell(node, path, Cause.CREATED)
            files.unlink(full)
            self.tell(node, path, Cause.REMOVED)

    def _release(self, node: SimNode, token: int, how: str) -> None:
        parts = {
            f"{PLUGIN}/{name}": content_of(token, kind) + name.encode()
            for name, kind in (("main.php", "small"), ("inc/a.php", "small"), (f"inc/{token % 3}.php", "fixed"))
        }
        if token % 4 == 0:
            parts[f"{PLUGIN}/large"] = content_of(token, "large")
        there = files.path.isdir(self.full(node, PLUGIN))
        if how == "removed":
            if there:
                self._remove(node, PLUGIN)
            return
        self.releases.append({path: name_of(data) for path, data in parts.items()})
        if how == "moved":
            self._bring_plugin(node, parts, there)
            return
        for path in [path for path, _ in self._files(node, PLUGIN)] if there else []:
            if path not in parts:
                self._remove(node, path)
        for path, data in parts.items():
            self._put(node, path, data, "place")

    def _bring_plugin(self, node: SimNode, parts: dict[str, bytes], there: bool) -> None:
        """As WordPress does it: beside it, then the old one away, then the new one in."""
        for path, data in parts.items():
            full = self.full(node, "new.ignored" + path[len(PLUGIN) :])
            files.makedirs(files.path.dirname(full), exist_ok=True)
            with files.file(full, "wb") as file:
                file.write(data)
            self._stamp(node, full)
        if there:
            self.gives_up(node, PLUGIN, disturbs=True)
            files.rename(self.full(node, PLUGIN), self.full(node, "old.ignored"))
            self.tell(node, PLUGIN, Cause.MOVED_OUT, True)
            shutil.rmtree(self.full(node, "old.ignored"))
        self._parents(node, PLUGIN)
        self._move(node, "new.ignored", PLUGIN)

    def empty_tree(self, node: SimNode) -> None:
        """Somebody made the tree anew: its users gave nothing up."""
        shutil.rmtree(node.tree)
        files.mkdir(node.tree)
