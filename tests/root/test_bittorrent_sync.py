"""The sample configuration of BitTorrent Sync 1.x, its folder uncommented, a secret filled in: two hosts sync."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import UnixConnection, await_condition, await_file
from tests.lab.hosts import Host, Network
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root

SECRET = "AQ2QNEXVFHEVZB4HOZHXWQYPRFWNCHIVC"  # 1.x: A and 32 characters of base32
FINISH = 20.0  # seconds
# The keys, values, comments and commas of the sample that 1.x printed; the texts of its comments are shorter here.
SAMPLE = """{
  "device_name": "My Sync Device",
  "listening_port" : 0, // 0 - any port

/* auxiliary files go here,
   or beside the program */
  "storage_path" : "/home/user/.sync",

/* the location of the pid file */
// "pid_file" : "/var/run/btsync/btsync.pid",

/* use UPnP */
  "use_upnp" : true,

/* limits in kB/s, 0 - none */
  "download_limit" : 0,
  "upload_limit" : 0,

/* proxy */
// "proxy_type" : "socks4",
// "proxy_addr" : "192.168.1.2",
// "proxy_port" : 1080,
// "proxy_auth" : false,

  "webui" :
  {
    "listen" : "0.0.0.0:8888" // remove to disable

/* credentials */
//  ,"login" : "admin"
//  ,"password" : "password"
//  ,"password_hash" : "some_hash"
/* where its browser starts */
//  ,"directory_root" : "/home/user/MySharedFolders/"
  }

/* with folders here there is no web interface */
,
  "shared_folders" :
  [
    {
//  --generate-secret makes one
      "secret" : "MY_SECRET_1",                   // * required
      "dir" : "/home/user/bittorrent/sync_test", // * required

//  if a direct connection fails
      "use_relay_server" : true,
      "use_tracker" : true,
      "use_dht" : false,
      "search_lan" : true,
//  keep what others delete
      "use_sync_trash" : true,
//  for read-only folders
//    "overwrite_changes" : false,
//  without any search
      "known_hosts" :
      [
        "192.168.1.2:44444"
      ]
    }
  ]


// more preferences can be added
}
"""


class Home:
    """What a host has at /home/user, and the syncd that runs there."""

    def __init__(self, host: Host, place: Path) -> None:
        self.place, self.tree, self.log = place, place / "bittorrent/sync_test", place / "log"
        (place / ".sync").mkdir(parents=True)
        self.tree.mkdir(parents=True)
        config = place / "sync.conf"
        config.write_text(SAMPLE.replace("MY_SECRET_1", SECRET))
        config.chmod(0o600)
        mounts = f"mount -t tmpfs none /home && mkdir /home/user && mount --bind {place} /home/user"
        node = f"exec {sys.executable} -m syncd.cli --config /home/user/sync.conf"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*host.prefix, "unshare", "--mount", "sh", "-c", f"{mounts} && {node}"], stdout=log, stderr=log
            )

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(FINISH)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        print(f"--- log of {self.place.name}\n{self.log.read_text()}")

    @property
    def listens(self) -> bool:
        """Whether the control socket answers."""
        assert self.process.poll() is None, self.log.read_text()
        connection = UnixConnection(str(self.place / ".sync/control.sock"), 5.0)
        try:
            connection.request("GET", "/livez")
            return bool(connection.getresponse().status == 200)
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def homes(network: Network, base: Path) -> Iterator[tuple[Home, Home]]:
    with ExitStack() as stack:
        found: list[Any] = []
        for host in network.pair("one", "two"):
            home = Home(host, base / host.namespace)
            stack.callback(home.stop)
            found.append(home)
        yield found[0], found[1]


def test_two_hosts_with_the_old_file(network: Network, tmp_path: Path) -> None:
    if sys.executable.startswith("/home/") or str(tmp_path).startswith("/home/"):
        cannot_run("this test mounts its own /home, and syncd or its files lie there")
    with homes(network, tmp_path) as (one, two):
        for home in (one, two):
            await_condition(lambda home=home: home.listens, "it does not start", FINISH)  # type: ignore[misc]
        (one.tree / "from-one").write_text("1")
        (two.tree / "from-two").write_text("2")
        began = time.monotonic()
        await_file(two.tree / "from-one", b"1")
        await_file(one.tree / "from-two", b"2")
        print(f"in sync after {time.monotonic() - began:.1f} s")
        for home in (one, two):
            lines = home.log.read_text().splitlines()
            assert "syncd and BitTorrent Sync do not talk to each other" in lines[0]
            assert sum("webui" in line for line in lines) == 1
            assert sum("generate-secret" in line for line in lines) == 1
            assert any("listening_port: 0 means the default port" in line for line in lines)
