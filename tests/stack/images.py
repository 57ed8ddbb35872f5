"""The images, built beside each other, and those of later tests beside tests that mostly wait."""

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.stack.engine import Engine
from tests.stack.walk import REPOSITORY

# SITE_HEAD is the image of the site as far as it needs no archive of syncd. With it and SYNCD there, little is left
# to do for the commands of the page.
SITE_HEAD, SYNCD, DATABASE, APACHE, SYSTEMD = "site-head", "syncd", "stack-db", "apache", "stack-systemd"
LEAST: Final = 2  # of the processors' time, where a container of the site has 1024
PAGE: Final = REPOSITORY / "docs/add-to-your-image.md"

_APACHE = """FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends apache2 \\
 && rm -rf /var/lib/apt/lists/* /var/www/html/* && echo ServerName site >>/etc/apache2/apache2.conf
"""
_SYSTEMD = """FROM syncd
USER 0
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \\
      systemd systemd-sysv dbus procps && rm -rf /var/lib/apt/lists/* /opt/syncd /usr/local/bin/syncd
COPY dist/syncd-*-cp311-*.tar.gz /root/
RUN tar -xzf /root/syncd-*.tar.gz -C /root && /root/syncd-*/install.sh
"""


def added_lines() -> str:
    """What docs/add-to-your-image.md has for the end of a Dockerfile."""
    found = re.search(r"```dockerfile\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, "the page has no Dockerfile"
    return found[1]


def head(dockerfile: str) -> str:
    """What a Dockerfile does before it needs a file."""
    return dockerfile[: dockerfile.index("\nCOPY ") + 1]


class Images:
    """Builds of an engine. What has begun in the background is waited for, and what has not is built, by ready()."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(3)
        self._begun: dict[str, Future[None]] = {}

    def begin(self, *tags: str, shares: int | None = None) -> None:
        """Build in the background. shares: of the processors' time, in all steps, as `docker build` takes them."""
        for tag in tags:
            if tag not in self._begun:
                self._begun[tag] = self._pool.submit(self._build, tag, shares)

    def ready(self, *tags: str) -> None:
        """Return when these are there. Raises CommandFailed, TimeoutExpired."""
        self.begin(*tags)
        for tag in tags:
            self._begun[tag].result()

    def close(self) -> None:
        """After the engine's end, which ends what goes on."""
        self._pool.shutdown(cancel_futures=True)

    def _build(self, tag: str, shares: int | None) -> None:
        dockerfile, context = _recipe(tag)
        self._engine.build(tag, dockerfile, context, shares)


def _recipe(tag: str) -> tuple[str, Path | None]:
    """The text of a Dockerfile, and its context."""
    deploy, database = REPOSITORY / "deploy", Path(__file__).parent / "database"
    if tag == SITE_HEAD:
        return head((deploy / "Dockerfile").read_text()), None
    if tag == SYNCD:
        return (deploy / "Dockerfile.syncd").read_text(), REPOSITORY
    if tag == DATABASE:
        return (database / "Dockerfile").read_text(), database
    if tag == APACHE:
        return _APACHE + added_lines(), REPOSITORY
    assert tag == SYSTEMD
    return _SYSTEMD, REPOSITORY
