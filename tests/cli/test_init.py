"""First use without an editor."""

import os
import shlex
import socket
import stat
from pathlib import Path

import pytest

from protocol.keys import parse_secret
from syncd.cli.init import own_address
from syncd.config import load
from tests.cli.conftest import Shell
from tests.config.conftest import SECRET


@pytest.fixture
def fresh(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A place without a configuration whose default storage is in it."""
    shell.place.config.unlink()
    monkeypatch.setattr("syncd.cli.init.default_storage", lambda _: str(shell.root / "default-state"))
    return shell


def test_the_first_host(fresh: Shell) -> None:
    result = fresh.call("init", "--dir", "site", "--listen", "10.0.0.1")
    assert result.exit_code == 0
    settings = load("sync.json").settings
    assert settings.folders[0].dir == str(fresh.root / "site")
    assert (settings.listening_address, settings.listening_port) == ("10.0.0.1", 55555)
    assert settings.storage_path == str(fresh.root / "default-state")
    assert stat.S_IMODE((fresh.root / "default-state").stat().st_mode) == 0o700
    secret = fresh.root / "sync.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert parse_secret(secret.read_text()).fingerprint == settings.folders[0].keys.fingerprint
    wrote, start, following, carry = result.output.splitlines()
    assert wrote == f"wrote sync.json, the secret sync.secret, state goes to {fresh.root}/default-state"
    assert start == "Start this node: syncd --config sync.json"
    line = f"syncd init --dir {fresh.root}/site --known-host 10.0.0.1:55555 --secret-file -"
    assert following == f"On the next host: {line}"
    assert carry.endswith(f"ssh NEXTHOST {shlex.quote(line)} < sync.secret")
    assert secret.read_text().strip() not in result.output
    assert secret.read_text().strip() not in Path("sync.json").read_text()


def test_the_printed_line_works_on_the_next_host(fresh: Shell) -> None:
    first = fresh.call("init", "--dir", "site", "--listen", "[fd00::1]:5000", "--config", "a.json")
    line = shlex.split(first.output.splitlines()[2].partition("host: ")[2])
    assert line[:2] == ["syncd", "init"]
    secret = Path("a.secret").read_text()
    result = fresh.call(*line[1:], "--config", "b.json", "--storage-path", "b-state", stdin=secret)
    assert result.exit_code == 0, result.output
    first_node, second_node = load("a.json").settings, load("b.json").settings
    assert first_node.listening_port == 5000
    assert second_node.folders[0].keys == first_node.folders[0].keys
    assert [str(host) for host in second_node.folders[0].known_hosts] == ["[fd00::1]:5000"]
    assert second_node.storage_path == str(fresh.root / "b-state")


def test_a_configuration_of_the_service_is_started_by_systemd_and_is_that_of_the_next_host_too(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    units, configs = fresh.root / "units", fresh.root / "etc"
    units.mkdir()
    configs.mkdir()
    for name, place in (("UNITS", units), ("SYSTEMD", fresh.root), ("SERVICE_CONFIGS", configs)):
        monkeypatch.setattr(f"syncd.cli.init.{name}", str(place))
    started = {}
    for name, unit in (("a", ""), ("sync", "syncd.service"), ("it's", "syncd@.service")):
        if unit:
            (units / unit).touch()
        lines = fresh.call("init", "--dir", f"site-{unit}", "--config", f"{configs}/{name}.json").output.splitlines()
        started[name] = lines[1]
        assert lines[2].endswith(f"--config {shlex.quote(f'{configs}/{name}.json')}")
    assert started == {
        "a": f"Start this node: syncd --config {configs}/a.json",
        "sync": "Start this node: systemctl enable --now syncd",
        "it's": """Start this node: systemctl enable --now 'syncd@it'"'"'s'""",
    }


def test_a_secret_that_exists_stays_where_it_is(fresh: Shell) -> None:
    result = fresh.call("init", "--dir", "new/site", "--secret-file", "site.secret", "--known-host", "dns:web")
    assert result.exit_code == 0
    assert load("sync.json").settings.folders[0].keys == parse_secret(SECRET)
    assert (fresh.root / "new/site").is_dir()
    assert not (fresh.root / "sync.secret").exists()


def test_names_that_need_quoting(fresh: Shell) -> None:
    name = '${HOME} "é" \\ it\'s'
    assert fresh.call("init", "--dir", name, "--listen", ":5001").exit_code == 0
    settings = load("sync.json").settings
    assert settings.folders[0].dir == str(fresh.root / name)
    assert (settings.listening_address, settings.listening_port) == ("", 5001)


@pytest.mark.parametrize("there", ["sync.json", "sync.secret"])
def test_nothing_is_overwritten(fresh: Shell, there: str) -> None:
    (fresh.root / there).write_text("mine")
    result = fresh.call("init", "--dir", "site")
    assert result.exit_code == os.EX_CANTCREAT
    assert result.output == f"syncd: {there} exists and is not overwritten; move it away or name another\n"
    assert (fresh.root / there).read_text() == "mine"
    assert len(list(fresh.root.glob("sync.*"))) == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("--listen", "a b"), None, os.EX_USAGE, "--listen: 'a b' is neither"),
        (("--listen", ":x"), None, os.EX_USAGE, "--listen: 'x' is not a port"),
        (("--known-host", "a:0"), None, os.EX_USAGE, "--known-host: '0' is not a port"),
        (("--secret-file", "none"), None, os.EX_CONFIG, "none does not exist"),
        (("--secret-file", "-"), "opensesame", os.EX_CONFIG, "a secret begins with"),
        (("--secret-file", "-"), "", os.EX_CONFIG, "the secret is empty"),
        (("--storage-path", "site/state"), None, os.EX_CONFIG, "lies inside"),
        (("--storage-path", "site.secret"), None, os.EX_CANTCREAT, "site.secret exists"),
        (("--config", "none/sync.json"), None, os.EX_CANTCREAT, "No such file or directory"),
    ],
)
def test_a_refused_start_leaves_no_files(
    fresh: Shell, arguments: tuple[str, ...], stdin: str | None, code: int, words: str
) -> None:
    result = fresh.call("init", "--dir", "site", *arguments, stdin=stdin)
    assert result.exit_code == code
    assert words in result.output
    assert not list(fresh.root.glob("sync.*"))


def test_the_environment_names_the_place(fresh: Shell) -> None:
    assert fresh.call("init", "--dir", "site", SYNCD_CONFIG="named.json").exit_code == 0
    assert {"named.json", "named.secret"} <= {path.name for path in fresh.root.iterdir()}


def test_the_own_address_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_address()

    def no_route(*arguments: object) -> socket.socket:
        raise OSError

    monkeypatch.setattr("syncd.cli.init.socket.socket", no_route)
    assert own_address() == socket.gethostname()
