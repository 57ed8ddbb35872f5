"""What operators get wrong and what breaks: one clear line each, files are synced, nothing is served half."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack.browser import Browser
from tests.stack.engine import CommandFailed
from tests.stack.images import APACHE, LEAST, SYSTEMD
from tests.stack.site import CONTENT, HOST_C, Site
from tests.stack.waiting import until
from tests.stack.walk import REPOSITORY

pytestmark = pytest.mark.stack

Spoil = Callable[[Path], None]


def leave(_: Path) -> None:
    """Nothing is wrong with this one."""


def no_configuration(config: Path) -> None:
    shutil.rmtree(config)
    config.mkdir()


def no_values(config: Path) -> None:
    shutil.rmtree(config / "wordpress")


def no_key(config: Path) -> None:
    (config / "tunnel/key").unlink()


def another_key(config: Path) -> None:
    (config / "wordpress/AUTH_KEY").write_text("another one")


# by name: what is done to a copy of the configuration, and further options of the engine
NODES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "no-configuration": (no_configuration, ()),
    "no-values": (no_values, ()),
    "no-key": (no_key, ()),
    "another-key": (another_key, ()),
    "good": (leave, ()),
    "full": (leave, ("--tmpfs", f"{CONTENT}:size=2m,uid=33,gid=33,mode=0755")),
}


class Node:
    """One of them, on a port of its own."""

    def __init__(self, site: Site, name: str, config: Path) -> None:
        self.name = f"bad-{name}"
        self._site = site
        self._port = 8080 + 1000 * (1 + list(NODES).index(name))
        spoil, options = NODES[name]
        shutil.copytree(site.site / "config", config)
        spoil(config)
        more = ("--port", str(self._port), "--", *options)
        site.script("start-secondary.sh", self.name, HOST_C, "host-c", config=str(config), more=more)

    def browser(self) -> Browser:
        browser = self._site.direct(HOST_C)
        browser.port = self._port
        return browser

    def lines(self, pattern: str) -> list[str]:
        """What it has said about something."""
        return [line for line in self._site.logs(self.name).splitlines() if re.search(pattern, line)]

    def status_of_page(self) -> int:
        try:
            return self.browser().get("/").status
        except OSError:
            return 0

    def shows(self) -> bool:
        try:
            return self.browser().get("/").good
        except OSError:
            return False


Nodes = Callable[[str], Node]


@pytest.fixture(scope="module", autouse=True)
def nodes(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """All of them, started in the order of the tests, two at a time, while the tests look at those that run.

    Nothing is measured here: what is left of the processors' time goes to the images of later tests.
    """
    place = tmp_path_factory.mktemp("bad")
    with ThreadPoolExecutor(2) as pool:
        started = {name: pool.submit(Node, site, name, place / name) for name in NODES}
        site.images.begin(APACHE, SYSTEMD, shares=LEAST)
        try:
            yield lambda name: started[name].result()
        finally:
            pool.shutdown(cancel_futures=True)
            site.remove(*(f"bad-{name}" for name in NODES))


def test_no_configuration_at_all(nodes: Nodes) -> None:
    node = nodes("no-configuration")
    until(lambda: node.status_of_page() == 503, "503", 30)
    (said,) = node.lines("^startup: .*sync.json")
    assert "no /config/sync.json: mount the directory" in said


def test_no_values_for_wordpress(site: Site, nodes: Nodes) -> None:
    node = nodes("no-values")
    until(lambda: site.in_sync(node.name), "it syncs all the same", 60)
    until(lambda: node.status_of_page() and node.lines("wordpress: no value"), "it is said", 60, 0.2)
    for page in ("/", "/wp-admin/install.php", "/wp-admin/setup-config.php", "/wp-admin/", "/?x=1"):
        answer = node.browser().get(page)
        assert answer.status in (503, 403), page
        assert "WordPress" not in answer.text
    (said,) = node.lines("wordpress: no value")
    assert "DB_PASSWORD" in said
    assert "AUTH_KEY" in said


def test_no_key_for_the_tunnel(site: Site, nodes: Nodes) -> None:
    node = nodes("no-key")
    until(lambda: site.in_sync(node.name), "it syncs all the same", 60)
    until(lambda: node.status_of_page() == 500, "the page says that it cannot work", 60, 0.2)
    (said,) = node.lines("no tunnel")
    assert "needs the files key and known_hosts" in said


def test_keys_that_differ(nodes: Nodes) -> None:
    node = nodes("another-key")
    until(node.shows, "it shows its page", 60, 0.2)
    until(lambda: node.lines("keys and salts differ"), "it is said", 30, 0.2)
    for _ in range(5):
        node.browser().get("/")
    (said,) = node.lines("keys and salts differ")
    assert re.search(rf"differ from those of node (?!{node.name} )\S+ ", said)


def test_a_database_that_is_down(site: Site, nodes: Nodes) -> None:
    node = nodes("good")
    until(node.shows, "it shows its page", 60, 0.2)
    site.docker("stop", "--time", "5", "db")
    try:
        until(lambda: node.status_of_page() == 500, "the page says so", 60, 0.2)
        until(lambda: node.lines("tunnel: no way"), "so does the log", 60, 0.2)
        until(lambda: site.browser().get("/").status == 503, "the balancer sends nobody to any node", 60, 0.2)
        written = site.on_host("uploads/meanwhile.txt")
        written.write_text("x")
        until(lambda: site.has(node.name, "uploads/meanwhile.txt"), "files are synced meanwhile", 30)
    finally:
        site.docker("start", "db")
    until(lambda: node.shows() and site.browser().get("/").good, "it is back by itself", 60, 0.2)
    said = node.lines("tunnel: no way")
    assert len(said) == len(set(said))  # once per cause, not once per attempt


def test_files_of_somebody_else(site: Site, nodes: Nodes) -> None:
    node = nodes("good").name
    until(lambda: site.in_sync(node), "it is in sync", 60)
    site.inside(node, "sh", "-c", f"umask 077; echo x >{CONTENT}/uploads/of-root.txt")
    until(lambda: "of-root.txt" in site.troubles(node), "the status names it", 60, 0.5)
    site.inside(node, "rm", f"{CONTENT}/uploads/of-root.txt")


def test_a_full_disk(site: Site, nodes: Nodes) -> None:
    """Less room than the site needs: what does not fit is named, and the page stays closed."""
    node = nodes("full")
    until(lambda: "nothing is fetched until there is room" in site.troubles(node.name), "the status says so", 60)
    assert node.status_of_page() == 503
    assert not site.status(node.name)["folders"][0]["classes"][0]["ready"]
    assert len(node.lines("room is short")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--name NAME is missing"),
        (["--name", "x"], "--config DIR is missing"),
        (["--name", "x", "--config", "/no/such"], "there is no such directory"),
        (["--name", "x", "--config", "/tmp"], "--agent HOST:PORT is missing"),
        (["--name", "x", "--config", "/tmp", "--agent", "a:1"], "--address ADDRESS is missing"),
        (["--name"], "--name needs a value"),
        (
            ["--name", "x", "--config", "/tmp", "--agent", "a:1", "--address", "127.0.0.1", "--content", "/tmp"],
            "is for the primary",
        ),
    ],
)
def test_a_wrong_command(site: Site, arguments: list[str], said: str) -> None:
    script = REPOSITORY / "deploy/start-secondary.sh"
    done = subprocess.run(
        [script, *arguments], env=site.engine.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_upgrade_to_what_does_not_work(site: Site) -> None:
    """The old container runs again, as it was."""
    site.engine.build("broken", "FROM site\nRUN rm /usr/sbin/nginx\n")
    before = site.docker("inspect", "-f", "{{.Id}}", "site-b")
    script = [REPOSITORY / "deploy/upgrade.sh", "site-b", "broken"]
    environment = {**site.engine.environment, "READY_SECONDS": "5"}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "site-b runs again as it was" in done.stdout
    assert "was not ready after 5 s" in done.stderr
    assert site.docker("inspect", "-f", "{{.Id}}", "site-b") == before
    with pytest.raises(CommandFailed):
        site.docker("inspect", "--type", "container", "site-b-old")
