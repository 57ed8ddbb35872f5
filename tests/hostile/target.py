"""What is attacked: a daemon that goes on to serve an honest one, and the questions asked of it after every attack."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from protocol.keys import derive_read_only
from tests.hostile.peer import Change, Persona, Rogue
from tests.lab.cluster import Cluster, Daemon, await_file

MIB = 1 << 20


@dataclass
class Target:
    """victim: the daemon under attack. honest: one that holds the same secret and dials it."""

    cluster: Cluster
    victim: Daemon
    honest: Daemon
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _sources: Iterator[int] = field(default_factory=lambda: itertools.count(257))

    @classmethod
    def start(cls, base: Path, prefix: Iterable[str] = (), **options: object) -> "Target":
        """Both daemons, in sync over a few files. prefix: a command before the victim."""
        cluster = Cluster(base)
        victim = cluster.add("victim", options=options, prefix=list(prefix))
        (victim.tree / "uploads").mkdir()
        (victim.tree / "uploads/small").write_bytes(b"small")
        (victim.tree / "uploads/large").write_bytes(os.urandom(3 * MIB))
        victim.start()
        honest = cluster.add("honest", knows=[victim], options=options).start()
        cluster.converge()
        return cls(cluster, victim, honest)

    # ---- ways in

    @property
    def address(self) -> tuple[str, int]:
        return self.victim.address, self.victim.port

    def source(self) -> str:
        """An address that the victim has not met: one that has offended is listened to less."""
        number = next(self._sources)
        return f"127.{100 + number // 65_536}.{number // 256 % 256}.{number % 256 or 1}"

    def writer(self, **options: object) -> Persona:
        """A new holder of the read-write secret."""
        return Persona.of(self.cluster.secret, **options)

    def reader(self) -> Persona:
        """A new holder of the read-only secret."""
        return Persona.of(derive_read_only(self.cluster.secret))

    @contextlib.contextmanager
    def rogue(self, persona: Persona | None = None, **options: object) -> Iterator[Rogue]:
        """An established connection, of a writer unless said otherwise."""
        options.setdefault("source", self.source())
        with Rogue(persona or self.writer(), self.address, **options) as rogue:
            yield rogue

    def hello(self, change: Change, persona: Persona | None = None) -> str:
        """How the victim takes a HELLO that `change` made: the reason of its goodbye."""
        persona = persona or self.writer()
        with Rogue(persona, self.address, source=self.source(), change=change, establish=False) as rogue:
            rogue.socket.sendall(rogue.connection.start())
            return rogue.ended()

    # ---- questions

    @property
    def root(self) -> str:
        """The victim's manifest as of now."""
        self.victim.rescan()
        return str(self.victim.status()["root"])

    @property
    def rss(self) -> int:
        """Bytes that the victim has resident."""
        return self._memory("VmRSS")

    @property
    def peak(self) -> int:
        """The most that it had resident since `reset_peak`."""
        return self._memory("VmHWM")

    def reset_peak(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    @property
    def threads(self) -> int:
        return self._status("Threads")

    @property
    def sockets(self) -> int:
        """Sockets that it has open."""
        found = 0
        for name in os.listdir(f"/proc/{self._pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"/proc/{self._pid}/fd/{name}").startswith("socket:")
        return found

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the victim has used."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check(self) -> None:
        """The victim lives, and what an honest peer writes arrives in it, and the other way."""
        assert self.victim.process is not None
        assert self.victim.process.poll() is None, self.victim.log_text()
        for source, sink in ((self.honest, self.victim), (self.victim, self.honest)):
            name, content = f"uploads/check-{next(self._numbers)}", os.urandom(100)
            (source.tree / name).write_bytes(content)
            await_file(sink.tree / name, content)

    @contextlib.contextmanager
    def unmoved_memory(self, growth: int) -> Iterator[None]:
        """Around an attack: memory grows by `growth` bytes at most even meanwhile."""
        self.reset_peak()
        before = self.rss
        yield
        grown = self.peak - before
        assert grown <= growth, f"{grown >> 20} MiB more at the peak"

    @contextlib.contextmanager
    def unmoved(self, *, growth: int = 32 * MIB) -> Iterator[None]:
        """Around an attack: nothing of it is kept, memory grows by `growth` bytes at most even meanwhile, honest work
        goes on.
        """
        root, tree = self.root, sorted(os.listdir(self.victim.tree))
        with self.unmoved_memory(growth):
            yield
            assert self.root == root, "something of it was kept"
            assert sorted(os.listdir(self.victim.tree)) == tree
        self.check()

    # ---- inside

    @property
    def _pid(self) -> int:
        assert self.victim.process is not None
        return self.victim.process.pid

    def _memory(self, name: str) -> int:
        return self._status(name) * 1024

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {name} in /proc")
