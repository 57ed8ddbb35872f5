"""A real node through a life full of errors: nothing that it says or shows has a secret or a file's content in it."""

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.handshake import PREFACE
from protocol.keys import derive_read_only, generate_secret, parse_secret
from tests.lab.cluster import Cluster, Daemon, UnixConnection, await_condition

CONTENT = b"the content of a file that is nobody else's business " + secrets.token_hex(16).encode()
NOBODY = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
SHORTEST = 16  # characters of a text of which a part is looked for


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def forms(raw: bytes) -> Iterator[bytes]:
    """The ways in which a program may write bytes."""
    yield raw
    yield raw.hex().encode()
    for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b32encode(raw), repr(raw)[2:-1].encode()):
        yield text.rstrip(b"=")


def forbidden(secret: str, storage: Path) -> set[bytes]:
    """All that must not be seen: secrets of both tiers, the keys that hang off them, the node's key, contents."""
    found = {CONTENT, CONTENT.hex().encode(), base64.b64encode(CONTENT)[:-4]}
    for text in (secret, derive_read_only(secret)):
        payload = text.split("-")[-1]
        found |= {payload.encode(), payload.upper().encode()}
        found |= {payload[at : at + SHORTEST].encode() for at in range(0, len(payload) - SHORTEST, SHORTEST)}
        keys = parse_secret(text)
        for key in (keys.psk, keys.beacon_key, keys.tag_key, keys.ro_proof, keys.block_key, keys.folder_signing):
            found.update(forms(key) if key is not None else ())
    found.update(forms((storage / "node.key").read_bytes()))
    return {item for item in found if len(item) >= SHORTEST}


def process_files(daemon: Daemon) -> bytes:
    """What others can see of a process."""
    assert daemon.process is not None
    place = Path(f"/proc/{daemon.process.pid}")
    return b"\n".join((place / name).read_bytes() for name in ("cmdline", "environ", "comm", "status", "stat"))


def command(daemon: Daemon, *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "syncd.cli", *arguments, "--config", str(daemon.config)], capture_output=True
    )
    return done.stdout + done.stderr


def pester(daemon: Daemon) -> None:
    """Strangers and wrong requests, on both sockets."""
    for data in (b"GET / HTTP/1.1\r\n\r\n", PREFACE + b"\x00\x30" + bytes(48), secrets.token_bytes(500)):
        stranger = socket.create_connection((daemon.address, daemon.port), timeout=5)
        with stranger, contextlib.suppress(OSError):
            stranger.sendall(data)
            stranger.recv(1)
    for path in ("/v1/nothing", "/v1/wait?class=x", "/v1/wait?timeout=x", "/\x7f%ff", "/v1/wait?state=" + "y" * 5000):
        connection = UnixConnection(str(daemon.storage / "control.sock"), 5.0)
        with contextlib.suppress(Exception):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()


@pytest.mark.heavy
def test_nothing_that_is_said_has_a_secret_in_it(cluster: Cluster) -> None:
    text, lines = ({"log": {"level": "debug", "format": name}} for name in ("text", "json"))
    one = cluster.add("one", options=lines)
    two = cluster.add("two", knows=[one], read_only=True, options=text)
    stranger = cluster.add("stranger", knows=[one], options=text)
    stranger.secret = generate_secret(secrets.token_bytes(32))
    (one.tree / "file").write_bytes(CONTENT)
    (one.tree / "large").write_bytes(CONTENT * 5_000)
    os.mkfifo(one.tree / "pipe")
    for daemon in (one, two, stranger):
        daemon.start()
    for daemon in (one, two):
        daemon.wait(state="in-sync")
    await_condition(lambda: (two.tree / "large").exists(), "nothing arrives")
    (two.tree / "file").write_bytes(b"changed on a reader")
    two.rescan()
    pester(one)
    seen = [process_files(one), process_files(two)]
    seen += [command(one, "status"), command(one, "status", "--json")]
    seen.append(json.dumps(one.get("/v1/status")[1]).encode())

    # the index is broken under a running node, and the next start finds it so
    one.kill()
    index = next(one.storage.glob("folders/*/index.sqlite3"))
    index.write_bytes(b"no database " * 1000)
    for extra in index.parent.glob("index.sqlite3-*"):
        extra.unlink()
    one.start(wait=False)
    assert one.process is not None
    await_condition(lambda: (one.process is not None and one.process.poll() is not None) or answers(one), "no end")
    seen.append(command(one, "status"))
    one.kill()

    right = one.secret
    for key, wrong in (("secret", right[:-1]), ("secret_file", right)):
        one.secret, one.folder_options = (wrong, {}) if key == "secret" else (right, {"secret_file": wrong})
        seen.append("\n".join(one.refused()[1]).encode())
        seen.append(command(one, "check-config"))
    seen += [daemon.log.read_bytes() for daemon in cluster.daemons]
    assert b"secret" in b"".join(seen)
    for text in forbidden(cluster.secret, one.storage):
        for place in seen:
            at = place.find(text)
            assert at < 0, place[max(0, at - 300) : at + 300]


def answers(daemon: Daemon) -> bool:
    with contextlib.suppress(OSError):
        return daemon.get("/livez", deadline=1.0)[0] in (200, 503)
    return False


def test_memory_and_cores_are_closed_to_others(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    assert one.process is not None
    place = Path(f"/proc/{one.process.pid}")
    limits = next(line for line in (place / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert limits.split()[4:6] == ["0", "0"]
    for name in ("environ", "mem", "maps", "fd/0"):
        read = subprocess.run([*NOBODY, "cat", str(place / name)], capture_output=True)
        assert read.returncode, name
    one.process.send_signal(signal.SIGQUIT)  # whose default is a core file
    one.process.wait(10)
    assert not list(Path.cwd().glob("core*"))


def test_a_process_of_the_same_user_cannot_look_into_it() -> None:
    """As the same user without privileges: what a web server's process could try."""
    script = (
        "import os, sys; from syncd.node.privacy import close_to_others\n"
        "if sys.argv[1] == 'closed': close_to_others()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    for state in ("open", "closed"):
        child = subprocess.Popen(
            [*NOBODY, sys.executable, "-c", script, state],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            child.wait()
            pytest.skip("this Python cannot be run by other users")
        read = subprocess.run([*NOBODY, "cat", f"/proc/{child.pid}/environ"], capture_output=True)
        child.kill()
        child.communicate()
        assert (read.returncode == 0) == (state == "open")
