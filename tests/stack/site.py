"""The hosts of the story: a network each, containers as the page makes them, and what a test asks of them."""

import json
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tests.stack.balancer import Balancer
from tests.stack.browser import Browser
from tests.stack.engine import CommandFailed, Engine, run
from tests.stack.images import DATABASE, SITE_HEAD, SYNCD, Images
from tests.stack.waiting import Times, until
from tests.stack.walk import REPOSITORY, Walk
from tests.stack.wordpress import log_in

NAME: Final = "www.example.org"
URL: Final = f"https://{NAME}"
ADDRESS: Final = "127.0.0.2"  # of the balancer
NETWORKS: Final = {
    "host-a": "10.231.1",
    "host-b": "10.231.2",
    "host-c": "10.231.4",
    "host-db": "10.231.3",
    "balancer": "10.231.5",
}
HOST_A, HOST_B, HOST_C, BALANCER = (f"{NETWORKS[name]}.1" for name in ("host-a", "host-b", "host-c", "balancer"))
DB_SSH: Final = f"tunnel@{NETWORKS['host-db']}.1:2222"
DB_PASSWORD: Final = "a&/\"'\\$ |b"
ADMIN_PASSWORD: Final = "Adm1n'pass\"& $x"
CONTENT: Final = "/var/www/html/wp-content"


class Site:
    """Everything that is running, from the engine to the balancer."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.site = place / "site"  # what the page calls $SITE
        self.engine = Engine(Path(os.environ.get("STACK_ENGINE_DIR", place / "engine")))
        self.images = Images(self.engine)
        self.times = Times()
        self.admin_password = ADMIN_PASSWORD
        hosts = {"HOST_A": HOST_A, "HOST_B": HOST_B, "HOST_C": HOST_C, "BALANCER": BALANCER}
        values = {"SITE": str(self.site), "AGENT": f"{HOST_A}:55555", **hosts}
        addresses = {"SITE_NAME": NAME, "SITE_ADDRESS": ADDRESS, "STATS_ADDRESS": ADDRESS}
        servers = {"PRIMARY": HOST_A, "SECONDARY": HOST_B}
        self.site.mkdir(parents=True)
        self.balancer = Balancer(place, {**addresses, **servers})
        secrets = {"DB_PASSWORD": DB_PASSWORD, "ADMIN_PASSWORD": ADMIN_PASSWORD, "DB_SSH": DB_SSH, "URL": URL}
        # each host's engine joins its containers to its own network
        self.walk = Walk({**self.balancer.environment, **self.engine.environment, **values, **secrets})

    # ---- beginning and end

    def open(self) -> None:
        """Engine, networks, images and the database's host."""
        begun = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            archive = pool.submit(self.walk, "archive")
            self.engine.start()
            self.times.note("Docker engine and base image", time.monotonic() - begun)
            for name, prefix in NETWORKS.items():
                self.docker("network", "create", "--subnet", f"{prefix}.0/24", "--gateway", f"{prefix}.1", name)
            begun = time.monotonic()
            if os.environ.get("STACK_IMAGES") != "keep" or not self.docker("images", "--quiet", "site").strip():
                self.images.begin(SITE_HEAD, DATABASE)
                archive.result()
                self.images.ready(SYNCD, SITE_HEAD)
                self.walk("images")
            archive.result()
        self.times.note("images", time.monotonic() - begun)

    def close(self) -> None:
        """End everything that was started."""
        self.balancer.stop()
        self.engine.stop()
        self.images.close()

    def start_database(self) -> None:
        """The database's host, with the public key of the configuration. The database itself: await_database()."""
        self.images.ready(DATABASE)
        key = (self.site / "config/tunnel/key.pub").read_text().strip()
        password = self.place / "db-password"
        password.write_text(DB_PASSWORD)
        self.docker(
            *(
                "run",
                "--detach",
                "--name",
                "db",
                "--network",
                "host-db",
                "--publish",
                f"{NETWORKS['host-db']}.1:2222:22",
            ),
            *("--env", f"TUNNEL_KEY={key}", "--volume", f"{password}:/password:ro", DATABASE),
        )
        until(self._sshd_answers, "sshd answers", 60)

    def await_database(self) -> None:
        """Return when the database answers."""
        until(self._database_answers, "the database answers", 90)

    def _sshd_answers(self) -> bool:
        try:
            with socket.create_connection((f"{NETWORKS['host-db']}.1", 2222), 5) as sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False

    def _database_answers(self) -> bool:
        try:
            return "1" in self.docker("exec", "db", "mariadb", "-N", "-e", "select 1")
        except CommandFailed:
            return False

    def script(
        self, name: str, node: str, address: str, network: str, *, agent: str = "", content: bool = False,
        config: str = "", more: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """What one of the start scripts prints. more: further options. Raises CommandFailed."""
        where = ["--agent", agent or f"{HOST_A}:55555", "--address", address, "--network", network, "--db-ssh", DB_SSH]
        what = ["--name", node, "--config", config or f"{self.site}/config"]
        seed = ["--content", f"{self.site}/wp-content"] if content else []
        command = [str(REPOSITORY / "deploy" / name), *what, *where, *seed, *more]
        return run(command, env=self.engine.environment)

    def remove(self, *nodes: str) -> None:
        """Remove those of these containers that there are."""
        there = self.docker("ps", "--all", "--format", "{{.Names}}").split()
        if found := [node for node in nodes if node in there]:
            self.docker("rm", "--force", *found)

    def own(self, path: Path) -> None:
        """Give a tree to the user of the site."""
        run(["chown", "-R", "33:33", str(path)])

    # ---- asking

    def docker(self, *arguments: str) -> str:
        """What a docker command prints. Raises CommandFailed."""
        return self.engine.docker(*arguments)

    def inside(self, node: str, *command: str) -> str:
        """What a command prints inside a container. Raises CommandFailed."""
        return self.docker("exec", node, *command)

    def status(self, node: str) -> dict[str, Any]:
        """`syncd status --json` of a container."""
        found: dict[str, Any] = json.loads(self.inside(node, "syncd", "status", "--json"))
        return found

    def has(self, node: str, path: str) -> bool:
        """Whether a path of the site's content is in a container."""
        try:
            self.inside(node, "test", "-e", f"{CONTENT}/{path}")
        except CommandFailed:
            return False
        return True

    def on_host(self, path: str) -> Path:
        """A path of wp-content as host A keeps it."""
        return self.site / "wp-content" / path

    def browser(self) -> Browser:
        """A visitor of the balancer."""
        return Browser(NAME, ADDRESS)

    def direct(self, address: str) -> Browser:
        """Asks one node, past the balancer, as the balancer would."""
        browser = Browser(NAME, address, 8080, tls=False)
        browser.always = {"X-Forwarded-Proto": "https"}
        return browser

    def editor(self) -> Browser:
        """An editor who has logged in, by way of the balancer."""
        browser = self.browser()
        log_in(browser, "admin", ADMIN_PASSWORD)
        return browser

    def address(self, node: str) -> str:
        """A container's address in its host's network."""
        return self.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", node).strip()

    def shows(self, address: str) -> bool:
        """Whether one node shows its front page."""
        try:
            return self.direct(address).get("/").good
        except OSError:
            return False

    def agent_check(self, address: str) -> str:
        """What syncd tells HAProxy there."""
        with socket.create_connection((address, 8386), 5) as sock:
            return sock.makefile().read().strip()

    def received(self, node: str) -> int:
        """Bytes of contents that a node has fetched since its syncd started."""
        return int(self.status(node)["folders"][0]["fetched_bytes"])

    def troubles(self, node: str) -> str:
        """All that the status of a node's folder says, as text; nothing where no node runs yet."""
        try:
            return str(self.status(node)["folders"][0])
        except CommandFailed:
            return ""

    def in_sync(self, node: str) -> bool:
        """Whether a node lacks nothing."""
        try:
            return bool(self.status(node)["folders"][0]["state"] == "in-sync")
        except CommandFailed:
            return False

    def logs(self, node: str) -> str:
        """What a container said."""
        return self.engine.logs(node)

    def explain(self) -> str:
        """What to look at when a test failed."""
        parts = [self.times.text()]
        names = self.docker("ps", "--all", "--format", "{{.Names}}").split()
        parts += [f"==== {name}\n{self.logs(name)[-2_500:]}" for name in names]
        if self.balancer.log.exists():
            parts.append(f"==== haproxy\n{self.balancer.log.read_text()[-2_500:]}")
        return "\n".join(parts)
