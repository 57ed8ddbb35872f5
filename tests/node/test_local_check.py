"""The node's own page is asked before visitors are sent to it."""

import asyncio
import http.server
import threading
from collections.abc import Iterator

import pytest

from syncd.config.settings import LocalCheck as Settings
from syncd.node.local_check import MAX_BODY, LocalCheck

PAGES = {
    "/whole": (200, b"<html><title>A site</title>"),
    "/white": (200, b""),
    "/broken": (500, b"<title>Error</title>"),
    "/moved": (302, b"<title>Moved</title>"),
    "/late": (200, b"x" * MAX_BODY + b"<title>"),
    "/long": (200, b"<title>" + b"x" * (8 << 20)),
}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Site)
        server.hosts.append(self.headers["Host"])
        if self.path == "/silent":
            server.over.wait(30)
            return
        status, body = PAGES[self.path]
        self.send_response(status)
        self.send_header("Location", "/whole")
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            server.cut = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Site(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.hosts: list[str] = []
        self.over = threading.Event()
        self.cut = False


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def check(site: Site, path: str, **changes: object) -> LocalCheck:
    url = f"http://127.0.0.1:{site.server_address[1]}{path}"
    values: dict[str, object] = {"host": "www.example.org", "expect": "<title>", "interval": 0.01, "timeout": 30.0}
    return LocalCheck(Settings(url, **{**values, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/whole", None),
        ("/long", None),
        ("/white", "'<title>' is not in it"),
        ("/late", "'<title>' is not in it"),
        ("/broken", "status 500"),
        ("/moved", "status 302"),
    ],
)
async def test_pages(site: Site, path: str, reason: str | None) -> None:
    assert await check(site, path)._ask() == reason
    assert site.hosts == ["www.example.org"], "redirects are not followed"


async def test_a_page_that_does_not_answer(site: Site) -> None:
    assert await check(site, "/silent", timeout=0.2)._ask() == "no answer within 0.2 s"


async def test_nobody_listens() -> None:
    gone = LocalCheck(Settings("http://127.0.0.1:1/", "", "", 0.01, 30.0))
    reason = await gone._ask()
    assert reason is not None
    assert "refused" in reason.lower() or "connect" in reason.lower()


async def test_it_follows_the_page(site: Site) -> None:
    checking = check(site, "/whole")
    assert not checking.verdict.ready, "nothing is promised before the first answer"
    async with checking, asyncio.timeout(60):
        while not checking.verdict.ready:  # noqa: ASYNC110 -- it looks by itself, again and again
            await asyncio.sleep(0)
