"""From nothing to a site on two hosts: the steps of docs/DEPLOYMENT.md, and what they promise."""

import re
import threading
import time

import pytest

from tests.stack import wordpress
from tests.stack.browser import Answer, Browser
from tests.stack.engine import CommandFailed
from tests.stack.site import CONTENT, HOST_A, HOST_B, NAME, Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

WHOAMI = 'location = /whoami { default_type text/plain; return 200 "$remote_addr $http_x_forwarded_proto"; }\n'


class Onlooker:
    """Asks one node for its front page again and again, and keeps what came."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.answers: list[Answer] = []
        self.first_good = 0.0  # monotonic seconds

    def __enter__(self) -> "Onlooker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            try:
                answer = self._browser.get("/")
            except OSError:
                continue  # nothing listens yet
            self.answers.append(answer)
            if answer.good and not self.first_good:
                self.first_good = time.monotonic()

    def only_whole_pages(self) -> bool:
        """Whether every answer was the page or 503, and the last one the page."""
        return all(answer.good or answer.status == 503 for answer in self.answers) and self.answers[-1].good


@pytest.fixture(scope="module")
def editor(site: Site) -> Browser:
    return site.editor()


def test_the_configuration_is_made(site: Site) -> None:
    site.walk("configuration")
    (site.site / "config/nginx").mkdir()
    (site.site / "config/nginx/whoami.conf").write_text(WHOAMI)
    site.start_database()
    site.walk("tunnel")
    assert (site.site / "config/wp.secret").stat().st_mode & 0o077 == 0
    site.walk("balancer")
    site.balancer.start()


def test_the_primary_seeds_itself_and_shows_nobody_the_set_up_page(site: Site) -> None:
    site.walk("agent")
    begun = time.monotonic()
    site.walk("primary", NETWORK="host-a")
    site.times.note("primary ready, a new site", time.monotonic() - begun)
    node = site.direct(HOST_A)
    site.await_database()
    until(lambda: answers(node, 302), "WordPress is there, and not installed", 30)
    for page in ("install.php", "install.php?step=2", "setup-config.php", "//install.php"):
        assert node.get(f"/wp-admin/{page}").status == 403, page
        assert site.browser().get(f"/wp-admin/{page}").status in (403, 503), page
    assert site.browser().get("/").status == 503
    assert not site.balancer.up("primary")
    until((site.site / "wp-content/themes").is_dir, "the host has what the image brought", 10)


def test_nothing_runs_as_root_and_the_secret_is_private(site: Site) -> None:
    users = set(re.findall(r"^(\S+) .*(?:nginx:|php-fpm|bin/syncd|ssh -N)", processes(site, "site-a"), re.MULTILINE))
    assert users == {"www-data", "tunnel"}
    for file, owner in (
        ("syncd/wp.secret", "www-data"),
        ("wordpress/DB_PASSWORD", "www-data"),
        ("tunnel/key", "tunnel"),
    ):
        assert site.inside("site-a", "stat", "-c", "%U %a", f"/run/{file}").split() == [owner, "400"]
    owners = site.inside("site-a", "sh", "-c", f"find {CONTENT} -printf '%u\\n' | sort -u").split()
    assert owners == ["www-data"]
    published = site.docker("port", "site-a")
    assert "55555" not in published
    assert published.count(HOST_A) == len(published.splitlines())


def test_the_site_is_installed(site: Site) -> None:
    assert "installed" in site.walk("install")
    site.times.measure("installed -> the balancer sends visitors", lambda: site.browser().get("/").good, 10)
    with pytest.raises(CommandFailed, match="has a site already"):
        site.docker("exec", "site-a", "sh", "-c", "echo x | wordpress-install https://x.example t u e@x.example")


def test_editors_use_https_and_clients_invent_no_headers(site: Site) -> None:
    plain = Browser(NAME, site.browser().address, tls=False)
    for path in ("/wp-admin/", "/wp-login.php", "//wp-admin/x", "/%77p-login.php"):
        answer = plain.get(path)
        assert (answer.status, answer.headers["Location"][:8]) == (302, "https://"), path
    plain.cookies["wordpress_logged_in_0"] = "x"
    assert plain.get("/").status == 302
    lies = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "http", "Forwarded": "for=192.0.2.66"}
    told = site.browser().get("/whoami", **lies).text
    assert told.endswith(" https")
    assert "192.0.2.66" not in told


def test_what_is_no_page_is_answered_by_nginx(site: Site) -> None:
    visitor = site.browser()
    missing = visitor.get("/wp-content/uploads/2020/01/no.png")
    assert (missing.status, "nginx" in missing.text, missing.node) == (404, True, "")
    for path in (
        "/wp-content/.syncd/marker",
        "/.git/config",
        "/wp-content/uploads/.htaccess",
        "/wp-content/%2esyncd/lock",
    ):
        assert visitor.get(path).status == 403, path
        assert site.direct(HOST_A).get(path).status == 403, path
    site.inside("site-a", "sh", "-c", f"echo '<?php echo 6*7;' >{CONTENT}/uploads/x.php")
    assert visitor.get("/wp-content/uploads/x.php").status == 403
    site.inside("site-a", "rm", f"{CONTENT}/uploads/x.php")


def test_a_fresh_secondary_shows_nothing_half(site: Site) -> None:
    begun = time.monotonic()
    with Onlooker(site.direct(HOST_B)) as onlooker:
        said = site.walk("secondary", NETWORK="host-b")
        until(lambda: onlooker.answers and onlooker.answers[-1].good, "the secondary's page", 30)
    site.times.judge("fresh secondary, a small site: its page is right", onlooker.first_good - begun, 15)
    assert onlooker.only_whole_pages()
    assert "themes: complete" in said
    until(lambda: site.balancer.up("secondary"), "the balancer has the secondary", 15)
    assert site.browser().get("/").node == "site-a"  # it waits


def test_hosts_do_not_reach_each_others_containers(site: Site) -> None:
    address = site.address("site-a")
    with pytest.raises(CommandFailed):
        site.inside("site-b", "curl", "-s", "-m", "2", f"http://{address}:8080/")
    peers = {peer["name"] for peer in site.status("site-b")["folders"][0]["peers"] if peer["connected"]}
    assert peers == {"host-a"}


def test_an_upload_is_everywhere_at_once(site: Site, editor: Browser) -> None:
    nonce = wordpress.nonce_of_uploads(editor)
    content = wordpress.picture(1)
    path = wordpress.upload(editor, "cat.png", content, nonce)
    kept = site.on_host(path.removeprefix("/wp-content/"))
    site.times.measure("an upload is readable on the host", lambda: kept.exists() and kept.read_bytes() == content, 1)
    there = site.direct(HOST_B)
    site.times.measure("and on the secondary", lambda: there.get(path).body == content, 1)
    assert site.browser().get(path).body == content


def test_the_theme_is_switched(site: Site, editor: Browser) -> None:
    wordpress.switch_theme(editor, "twentytwentyone")
    assert "twentytwentyone" in site.browser().get("/").text
    assert "twentytwentyone" in site.direct(HOST_B).get("/").text


def test_a_plugin_is_installed_and_updated(site: Site, editor: Browser) -> None:
    wordpress.install_plugin(editor, wordpress.plugin_archive("probe", "1.0"), "probe")
    until(lambda: site.has("site-b", "plugins/probe/part-40.php"), "the secondary has the plugin", 30)
    wordpress.activate_plugin(editor, "probe/probe.php")
    assert "<!-- probe 1.0 10 -->" in site.browser().get("/").text
    there = site.direct(HOST_B)
    assert "<!-- probe 1.0 10 -->" in there.get("/").text
    seen: set[str] = set()

    def updated() -> bool:
        found = re.search(r"<!-- probe (.*?) -->", there.get("/").text)
        seen.add(found[1] if found else "gone")
        return "2.0 20" in seen

    wordpress.install_plugin(editor, wordpress.plugin_archive("probe", "2.0"), "probe")
    until(updated, "the secondary shows the new version", 60)
    assert "<!-- probe 2.0 20 -->" in site.browser().get("/").text  # it stayed active


def test_what_an_operator_looks_at(site: Site) -> None:
    until(lambda: site.in_sync("site-b"), "the secondary has all", 30)
    assert '"state": "in-sync"' in site.walk("look")


def answers(browser: Browser, status: int) -> bool:
    """Whether the front page is answered with that status."""
    try:
        return browser.get("/").status == status
    except OSError:
        return False


def processes(site: Site, node: str) -> str:
    """All processes of a container, with the names of their users."""
    return site.inside(node, "ps", "-eo", "user:16,args")
