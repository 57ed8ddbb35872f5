"""Which configuration is meant, and where its node lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.config import ConfigError
from syncd.config.location import control_socket, default_storage, find_config, storage_path_of
from tests.config.conftest import Place


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("syncd.config.location.PLACES", ("./sync.json", str(tmp_path / "etc.json")))
    with pytest.raises(ConfigError, match=r"^syncd: no configuration in \./sync\.json or .*--config FILE"):
        find_config(None, {})
    (tmp_path / "etc.json").touch()
    assert find_config(None, {}) == str(tmp_path / "etc.json")
    (tmp_path / "sync.json").touch()
    assert find_config(None, {}) == "sync.json"
    assert find_config(None, {"SYNCD_CONFIG": "other.json"}) == "other.json"
    assert find_config("given.json", {"SYNCD_CONFIG": "other.json"}) == "given.json"


def test_a_place_that_may_not_be_looked_into_may_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /etc/syncd is to those who are neither root nor the service: they hear that, not that there is none."""
    monkeypatch.chdir(tmp_path)
    closed = tmp_path / "closed/sync.json"

    def stat(path: str) -> None:
        raise PermissionError if path == str(closed) else FileNotFoundError

    monkeypatch.setattr("syncd.config.location.PLACES", ("./sync.json", str(closed)))
    monkeypatch.setattr("syncd.config.location.os.stat", stat)
    assert find_config(None, {}) == str(closed)


def test_storage_needs_nothing_else_of_the_file(place: Place) -> None:
    text = '{"storage_path": "${WHERE:-state}", "unknown": 5, "shared_folders": [{"secret": "${NOT_SET}"}]}'
    path = str(place.write(text))
    assert storage_path_of(path, {}) == str(place.root / "state")
    assert storage_path_of(path, {"WHERE": "/x//y/"}) == "/x/y"
    optional = str(place.write('{"storage_path": "${WHERE:-}"}'))
    assert storage_path_of(optional, {"WHERE": "/x"}) == "/x"
    assert storage_path_of(optional, {"XDG_STATE_HOME": "/state"}) == default_storage({"XDG_STATE_HOME": "/state"})
    assert control_socket("/x/y") == "/x/y/control.sock"


@pytest.mark.parametrize(
    ("text", "column"), [('{"storage_path": 5}', 18), ('{"storage_path": ""}', 18), ('{"storage_path": "${NO}"}', 18)]
)
def test_storage_that_makes_no_sense(place: Place, text: str, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        storage_path_of(str(place.write(text)), {})
    assert (caught.value.line, caught.value.column) == (1, column)
    assert caught.value.message.startswith("storage_path: ")


def test_default_storage(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.config.location.os.geteuid", lambda: 0)
    assert default_storage({"XDG_STATE_HOME": "/elsewhere"}) == "/var/lib/syncd"
    monkeypatch.setattr("syncd.config.location.os.geteuid", lambda: 1000)
    assert default_storage({"XDG_STATE_HOME": "/elsewhere"}) == "/elsewhere/syncd"
    assert default_storage({"XDG_STATE_HOME": "relative"}) == os.path.expanduser("~/.local/state/syncd")
    path = str(place.write("{}"))
    assert storage_path_of(path, {"XDG_STATE_HOME": "/elsewhere"}) == "/elsewhere/syncd"


def test_the_storage_is_found_without_the_models(place: Place) -> None:
    path = place.write('{"storage_path": "state"}')
    code = (
        "import sys; from syncd.config.location import storage_path_of; print(storage_path_of(sys.argv[1]));"
        "print([name for name in ('pydantic', 'cryptography', 'aiohttp', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(place.root / "state"), "[]"]
