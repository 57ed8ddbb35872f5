"""What a service manager hears, over a socket of either kind."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.node.service_manager import ServiceManager

DEADLINE = 30.0  # seconds
PID = 4711


class Manager:
    """The other end. address: as it stands in NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(DEADLINE)
        self.sock.bind("\0" + address[1:] if address.startswith("@") else address)

    def hears(self) -> list[str]:
        return self.sock.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@syncd-test-{os.getpid()}-{id(request)}"
    manager = Manager(address)
    yield manager
    manager.sock.close()


def test_what_it_hears(manager: Manager) -> None:
    told = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address}, PID)
    told.ready()
    assert manager.hears()[0] == "READY=1"
    told.reloading()
    first, clock, _ = manager.hears()
    assert first == "RELOADING=1"
    assert int(clock.removeprefix("MONOTONIC_USEC=")) > 0
    told.stopping()
    assert manager.hears()[0] == "STOPPING=1"
    told.close()
    told.ready()  # to nobody


async def test_signs_of_life_come_within_the_time(manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": str(PID), "LANG": "C"}
    told = ServiceManager.from_environment(environment, PID)
    assert environment == {"LANG": "C"}  # no child speaks in our name
    assert told.watchdog == 0.06
    watching = asyncio.create_task(told.keep_watch())
    for _ in range(3):
        assert await asyncio.to_thread(manager.hears) == ["WATCHDOG=1"]
    watching.cancel()
    await asyncio.wait([watching])
    told.close()


@pytest.mark.parametrize(("usec", "pid"), [("", ""), ("0", ""), ("x", ""), ("-5", ""), ("1000000", "99")])
async def test_a_watchdog_of_others_is_not_ours(manager: Manager, usec: str, pid: str) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    told = ServiceManager.from_environment(environment, PID)
    assert told.watchdog is None
    await told.keep_watch()  # returns at once
    told.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/" + "x" * 200, "/no/such/socket"])
def test_an_address_that_leads_nowhere_stops_nothing(address: str) -> None:
    told = ServiceManager.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}, PID)
    assert told.watchdog is None
    told.ready()
    told.stopping()


def test_a_manager_that_does_not_read_stops_nothing(manager: Manager) -> None:
    told = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address}, PID)
    for _ in range(10_000):  # more than the queue holds
        told.ready()
    assert manager.hears()[0] == "READY=1"
    told.close()
