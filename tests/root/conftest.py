"""What the tests share that need root: hosts, daemons, an installed syncd."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster
from tests.lab.hosts import Network
from tests.lab.machine import cannot_run
from tests.root.installed import Installation

_PROGRAMS = ("ip", "tc", "setpriv", "make")


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    """What these tests need of the machine."""
    missing = [f"the program {name}" for name in _PROGRAMS if shutil.which(name) is None]
    if os.geteuid():
        missing.insert(0, "root")
    if missing:
        cannot_run(f"these tests need {', '.join(missing)}")


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def cluster(network: Network, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """What `make install` made."""
    with tempfile.TemporaryDirectory(prefix="syncd-installed-") as directory:
        os.chmod(directory, 0o755)
        yield Installation(Path(directory))


@pytest.fixture(scope="session")
def public_installation(installation: Installation) -> Installation:
    """The same, for users other than root."""
    if not installation.public:
        cannot_run(f"other users cannot run {installation.python}, and no other Python of its version is here")
    return installation


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other users can reach, which those of tmp_path are not."""
    with tempfile.TemporaryDirectory(prefix="syncd-open-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)
