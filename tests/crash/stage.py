"""Two nodes and what both of their users do in a round, with all that may be found at each path before and after it."""

import http.client
import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.crash.faults import Fault, lasting
from tests.lab.cluster import Cluster, Daemon, await_condition, differences, snapshot

DEADLINE = 40.0  # seconds for whatever has to happen
INDISPENSABLE = {"rename", "pwrite", "sync", "truncate"}  # calls without which a round cannot be completed
EXIT_SECONDS = 10.0
START_FAILED = {69, 74, 77, 78}  # a node that cannot start says so
SMALL, LARGE = 3_000, 200_000  # bytes: one block, and several


class Stage:
    """steady is never harmed; victim is started with a fault in every round."""

    def __init__(self, base: Path, seed: int) -> None:
        self.cluster = Cluster(base)
        self.chance = random.Random(seed)
        self.steady = self.cluster.add("steady")
        self.victim = self.cluster.add("victim", knows=[self.steady])
        self.known: dict[str, list[bytes | None]] = {}  # path: contents, the latest last; None for nothing
        self.round = 0

    def __enter__(self) -> "Stage":
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.cluster.__exit__(*error)

    def open(self) -> "Stage":
        """Both have synced once; the victim is down."""
        self.steady.start()
        self.play()
        self.victim.start()
        self.recover("the first sync")
        self.victim.stop()
        return self

    def close(self) -> None:
        """End both."""
        for daemon in (self.victim, self.steady):
            self._kill(daemon)

    def _kill(self, daemon: Daemon) -> None:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()

    # ---- what users do

    def play(self) -> None:
        """Another round on both disks; the steady node has noticed it, the victim is down."""
        self.round += 1
        self.known = {path: contents[-1:] for path, contents in self.known.items()}
        for daemon in (self.steady, self.victim):
            name = daemon.base.name
            for number in range(4):
                self._write(daemon, f"{name}/{self.round}/{number}", SMALL)
            self._write(daemon, f"{name}/replaced", SMALL)
            self._write(daemon, f"{name}/large", LARGE)
            self._write(daemon, f"{name}/{self.round}/large", LARGE)
            self._remove(daemon, f"{name}/{self.round - 1}/0")
            self._remove(daemon, f"{name}/{self.round - 1}/large")
        os.chmod(self.steady.tree / "steady/replaced", (0o640, 0o600)[self.round % 2])
        before = self.steady.status()["root"]
        self.steady.rescan()
        await_condition(lambda: self.steady.status()["root"] != before, "the steady node notices nothing", DEADLINE)

    def _write(self, daemon: Daemon, path: str, size: int) -> None:
        data = self.chance.randbytes(self.chance.randrange(size // 2, size))
        target = daemon.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.known.setdefault(path, [None]).append(data)

    def _remove(self, daemon: Daemon, path: str) -> None:
        if (daemon.tree / path).exists():
            (daemon.tree / path).unlink()
            self.known.setdefault(path, [None]).append(None)

    # ---- a round with a fault

    def suffer(self, fault: Fault) -> bool:
        """One round: whether the victim met the fault. Raises AssertionError for anything that must not happen."""
        try:
            return self._suffer(fault)
        except BaseException:
            self._kill(self.victim)  # the next round begins with it being down
            raise

    def _suffer(self, fault: Fault) -> bool:
        self.play()
        self.victim.prefix = fault.prefix()
        logged = self.victim.log.stat().st_size
        self.victim.start(wait=False)
        self.victim.prefix = []
        met = self._until_dead_or_done(fault) if not fault.error else self._endure(fault, logged)
        self.check_whole(self.victim, str(fault))
        self.victim.start()
        self.recover(str(fault))
        self.victim.stop()
        return met

    def _until_dead_or_done(self, fault: Fault) -> bool:
        self._await(lambda: self._is_dead() or self._agrees(), fault)
        if not self._is_dead():
            self.victim.stop()
        assert self.victim.process is not None
        status = self.victim.process.wait(EXIT_SECONDS)
        assert status in (0, -9), f"{fault}: exit {status}\n{self.victim.log_text()}"
        return status == -9

    def _endure(self, fault: Fault, logged: int) -> bool:
        """The node must not end by itself once it runs, be honest meanwhile, and come through what is over."""
        assert self.victim.process is not None
        self._await(lambda: self._is_dead() or self._agrees() or (fault.always and self._says_so()), fault)
        if self._is_dead():
            log = self.victim.log.read_bytes()[logged:].decode(errors="replace")
            assert self.victim.process.returncode in START_FAILED, f"{fault}: ended\n{log}"
            assert "cannot start" in log, f"{fault}: {log}"
            assert "Traceback" not in log, f"{fault}: {log}"
            return True
        self._check_honest(fault)
        self.victim.stop()
        log = self.victim.log.read_bytes()[logged:].decode(errors="replace")
        assert "Traceback" not in log, f"{fault}: {log}"
        return True

    def _check_honest(self, fault: Fault) -> None:
        assert self.victim.get("/livez")[0] == 200
        status = self.victim.status()
        if status["state"] == "in-sync" and status["root"] == self.steady.status()["root"]:
            self.check_latest(self.victim, str(fault))
        else:
            assert status["problems"] or status["need_files"] or status["reason"], f"{fault}: {status}"

    def _is_dead(self) -> bool:
        assert self.victim.process is not None
        return self.victim.process.poll() is not None

    def _agrees(self) -> bool:
        try:
            victim = self.victim.status()
        except (OSError, http.client.HTTPException):
            return False
        steady = self.steady.status()
        return victim["state"] == steady["state"] == "in-sync" and victim["root"] == steady["root"]

    def _says_so(self) -> bool:
        try:
            status = self.victim.status()
        except (OSError, http.client.HTTPException):
            return False
        return bool(status["problems"]) and status["state"] == "error"

    def _await(self, reached: Callable[[], bool], fault: Fault) -> None:
        try:
            await_condition(reached, f"{fault}: nothing comes of it", DEADLINE)
        except AssertionError as error:
            shown = "dead" if self._is_dead() else self.victim.status()
            raise AssertionError(f"{error}\n{shown}\n{self.victim.log_text()}") from None

    def suffer_while_running(self, kind: str, error: str) -> None:
        """One round in which a running victim cannot do one thing for a while. It comes through without a restart."""
        when = f"{error} at every {kind} for a while"
        self.victim.start()
        self.recover(when)
        assert self.victim.process is not None
        fault = Fault(kind, 1, error, True)
        with lasting(kind, error, self.victim.process.pid):
            self.play()
            self._await(lambda: self._says_so() or (kind not in INDISPENSABLE and self._agrees()), fault)
            self._check_honest(fault)
            self.check_whole(self.victim, when)
        self.recover(when)
        assert self.victim.stop() == 0, when

    # ---- what must hold

    def recover(self, when: str) -> None:
        """The victim runs without faults: both converge to the latest of everything, and nothing is left over."""
        try:
            self.cluster.converge(deadline=DEADLINE)
        except AssertionError as error:
            raise AssertionError(f"{when}: {error}") from None
        for daemon in (self.victim, self.steady):
            self.check_latest(daemon, when)
            alarms = daemon.status()["alarms"]
            assert not alarms, f"{when}: {daemon.base.name}: {alarms}"
            assert daemon.status()["conflicts"] == 0, when
        found = differences(snapshot(self.steady.tree), snapshot(self.victim.tree))
        assert not found, f"{when}: {found}"
        await_condition(lambda: not self.victim.staging, f"{when}: staging keeps {self.victim.staging}")
        private = set(os.listdir(self.victim.tree / ".syncd"))
        assert private <= {"lock", "marker"}, f"{when}: {private}"

    def check_whole(self, daemon: Daemon, when: str) -> None:
        """Every path holds one of its versions in full, and there are no others."""
        for path, content in self._files(daemon).items():
            assert path in self.known, f"{when}: {path} was never written"
            assert content in self.known[path], f"{when}: {path} is a mixture of {len(content or b'')} bytes"

    def check_latest(self, daemon: Daemon, when: str) -> None:
        """Every path holds its latest version."""
        found = self._files(daemon)
        for path, contents in self.known.items():
            assert found.get(path) == contents[-1], f"{when}: {daemon.base.name} has another {path}"
        assert found.keys() <= self.known.keys(), f"{when}: {found.keys() - self.known.keys()}"

    def _files(self, daemon: Daemon) -> dict[str, bytes]:
        return {os.fsdecode(path): item[3] for path, item in snapshot(daemon.tree).items() if item[0] == "file"}
