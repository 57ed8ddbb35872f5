"""What a command line loads before it answers: that, and no clock, decides how soon it does."""

import os
import re
import socket

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_node import FakeNode
from tests.cli.test_status import SYNCING, report

HEAVY = (
    "aiohttp", "asyncio", "cryptography", "dns", "ifaddr", "msgpack", "multiprocessing", "prometheus_client",
    "protocol", "pydantic", "pyfastcdc", "rich", "sqlite3", "structlog", "syncd.core", "syncd.net", "syncd.node",
    "syncd.store", "uvloop", "watchdog", "xxhash", "zeroconf", "zstandard",
)  # fmt: skip
MODULES = {"version": 150, "status": 250}  # with those of a bare interpreter, of which there are 65
NO_NODE_NEEDS = ("rich.console", "rich.text", "pygments", "zeroconf", "dns", "ifaddr", "watchdog", "syncd.cli.status")
IMPORTED = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")


def loaded(shell: Shell, *arguments: str, code: int = os.EX_OK) -> list[str]:
    """The modules that a command line of its own loads until it ends with `code`."""
    done = shell.run(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == code, done.stderr.splitlines()[-1]
    return IMPORTED.findall(done.stderr)


def among(names: tuple[str, ...], modules: list[str]) -> list[str]:
    """Those modules that are, or are in, one of the packages `names`."""
    return [module for module in modules if f"{module}.".startswith(tuple(f"{name}." for name in names))]


@pytest.mark.parametrize("verb", MODULES)
def test_verbs_load_little(shell: Shell, node: FakeNode, verb: str) -> None:
    node.answer("GET /v1/status", 200, report(SYNCING))
    modules = loaded(shell, verb)
    assert among(HEAVY, modules) == []
    assert "syncd.cli.main" in modules
    assert len(modules) <= MODULES[verb]


def test_a_node_loads_nothing_for_terminals_and_nothing_that_was_not_asked_for(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shell.place.write(
            f'{{"listening_port": {port}, "listening_address": "127.0.0.1", "storage_path": "state",'
            ' "shared_folders": [{"dir": "site", "secret_file": "site.secret"}]}'
        )
        modules = loaded(shell, code=os.EX_CONFIG)
    assert "syncd.node.daemon" in modules
    assert among(NO_NODE_NEEDS, modules) == []
