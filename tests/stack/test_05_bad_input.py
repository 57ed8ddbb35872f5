"""What operators get wrong and what breaks: one clear line each, files are synced, nothing is served half."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.engine import CommandFailed
from tests.stack.site import CONTENT, HOST_C, Site
from tests.stack.waiting import until
from tests.stack.walk import REPOSITORY

pytestmark = pytest.mark.stack

NODE = "bad"


@pytest.fixture(autouse=True)
def _gone_afterwards(site: Site) -> Iterator[None]:
    yield
    subprocess.run(["docker", "rm", "--force", NODE], env=site.engine.environment, capture_output=True, check=False)


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Path:
    """A copy of the configuration to spoil."""
    copy = tmp_path / "config"
    shutil.copytree(site.site / "config", copy)
    return copy


def lines(site: Site, pattern: str) -> list[str]:
    """What the spoilt node has said about it."""
    return [line for line in site.logs(NODE).splitlines() if re.search(pattern, line)]


def start(site: Site, config: Path) -> None:
    site.script("start-secondary.sh", NODE, HOST_C, "host-c", config=str(config))


def status_of_page(site: Site) -> int:
    try:
        return site.direct(HOST_C).get("/").status
    except OSError:
        return 0


def test_no_configuration_at_all(site: Site, tmp_path: Path) -> None:
    start(site, tmp_path)
    until(lambda: status_of_page(site) == 503, "503", 30)
    (said,) = lines(site, "^startup: .*sync.json")
    assert "no /config/sync.json: mount the directory" in said


def test_no_values_for_wordpress(site: Site, config: Path) -> None:
    shutil.rmtree(config / "wordpress")
    start(site, config)
    until(lambda: site.in_sync(NODE), "it syncs all the same", 60)
    until(lambda: status_of_page(site) and lines(site, "wordpress: no value"), "it is said", 60, 0.2)
    for page in ("/", "/wp-admin/install.php", "/wp-admin/setup-config.php", "/wp-admin/", "/?x=1"):
        answer = site.direct(HOST_C).get(page)
        assert answer.status in (503, 403), page
        assert "WordPress" not in answer.text
    (said,) = lines(site, "wordpress: no value")
    assert "DB_PASSWORD" in said
    assert "AUTH_KEY" in said


def test_no_key_for_the_tunnel(site: Site, config: Path) -> None:
    (config / "tunnel/key").unlink()
    start(site, config)
    until(lambda: site.in_sync(NODE), "it syncs all the same", 60)
    until(lambda: status_of_page(site) == 500, "the page says that it cannot work", 60, 0.2)
    (said,) = lines(site, "no tunnel")
    assert "needs the files key and known_hosts" in said


def test_keys_that_differ(site: Site, config: Path) -> None:
    (config / "wordpress/AUTH_KEY").write_text("another one")
    start(site, config)
    until(lambda: site.shows(HOST_C), "it shows its page", 60, 0.2)
    until(lambda: lines(site, "keys and salts differ"), "it is said", 30, 0.2)
    for _ in range(5):
        site.direct(HOST_C).get("/")
    (said,) = lines(site, "keys and salts differ")
    assert re.search(r"differ from those of node site-[ab] ", said)


def test_a_database_that_is_down(site: Site, config: Path) -> None:
    start(site, config)
    until(lambda: site.shows(HOST_C), "it shows its page", 60, 0.2)
    site.docker("stop", "--time", "5", "db")
    try:
        until(lambda: status_of_page(site) == 500, "the page says so", 60, 0.2)
        until(lambda: lines(site, "tunnel: no way"), "so does the log", 60, 0.2)
        until(lambda: site.browser().get("/").status == 503, "the balancer sends nobody to any node", 60, 0.2)
        written = site.on_host("uploads/meanwhile.txt")
        written.write_text("x")
        until(lambda: site.has(NODE, "uploads/meanwhile.txt"), "files are synced meanwhile", 30)
    finally:
        site.docker("start", "db")
    until(lambda: site.shows(HOST_C) and site.browser().get("/").good, "it is back by itself", 60, 0.2)
    said = lines(site, "tunnel: no way")
    assert len(said) == len(set(said))  # once per cause, not once per attempt


def test_files_of_somebody_else(site: Site, config: Path) -> None:
    start(site, config)
    until(lambda: site.in_sync(NODE), "it is in sync", 60)
    site.inside(NODE, "sh", "-c", f"umask 077; echo x >{CONTENT}/uploads/of-root.txt")
    until(lambda: "of-root.txt" in site.troubles(NODE), "the status names it", 60, 0.5)
    site.inside(NODE, "rm", f"{CONTENT}/uploads/of-root.txt")


def test_a_full_disk(site: Site, config: Path) -> None:
    """Less room than the site needs: what does not fit is named, and the page stays closed."""
    small = ("--", "--tmpfs", f"{CONTENT}:size=2m,uid=33,gid=33,mode=0755")
    site.script("start-secondary.sh", NODE, HOST_C, "host-c", config=str(config), more=small)
    until(lambda: "nothing is fetched until there is room" in site.troubles(NODE), "the status says so", 60)
    assert status_of_page(site) == 503
    assert not site.status(NODE)["folders"][0]["classes"][0]["ready"]
    assert len(lines(site, "room is short")) == 1


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
    broken = site.place / "broken"
    broken.mkdir()
    (broken / "Dockerfile").write_text("FROM site\nRUN rm /usr/sbin/nginx\n")
    site.engine.build("broken", broken / "Dockerfile", broken)
    before = site.docker("inspect", "-f", "{{.Id}}", "site-b")
    script = [REPOSITORY / "deploy/upgrade.sh", "site-b", "broken"]
    environment = {**site.engine.environment, "READY_SECONDS": "10"}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "site-b runs again as it was" in done.stdout
    assert "was not ready after 10 s" in done.stderr
    assert site.docker("inspect", "-f", "{{.Id}}", "site-b") == before
    with pytest.raises(CommandFailed):
        site.docker("inspect", "--type", "container", "site-b-old")
