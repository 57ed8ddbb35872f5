"""syncd alone as any user, and in an image that somebody has already."""

from pathlib import Path

import pytest

from tests.stack.engine import CommandFailed
from tests.stack.images import APACHE, added_lines
from tests.stack.site import CONTENT, HOST_C, Site
from tests.stack.waiting import until

pytestmark = pytest.mark.stack

MOST_LINES = 8


def test_the_agent_is_nobody_special(site: Site) -> None:
    user, privileges, reads = site.docker(
        "inspect", "-f", "{{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}}", "agent"
    ).split()
    assert (user, privileges, reads) == ("33:33", "[ALL]", "true")
    capabilities = site.inside("agent", "grep", "-h", "Cap[EPI]", "/proc/1/status").split()[1::2]
    assert set(capabilities) == {"0000000000000000"}
    with pytest.raises(CommandFailed):
        site.inside("agent", "touch", "/tmp/x")
    until(lambda: site.docker("inspect", "-f", "{{.State.Health.Status}}", "agent").strip() == "healthy", "healthy", 60)


def test_eight_lines_are_added_to_an_apache_image(site: Site) -> None:
    assert len(added_lines().splitlines()) <= MOST_LINES
    site.images.ready(APACHE)
    secret = Path(f"{site.site}/config/wp.secret")
    site.docker(
        *("run", "--detach", "--name", "site-apache", "--network", "host-c", "--publish", f"{HOST_C}:8090:80"),
        *(
            "--env",
            f"AGENT={site.walk.environment['AGENT']}",
            "--volume",
            f"{secret}:/run/secrets/wp.secret:ro",
            APACHE,
        ),
    )
    browser = site.direct(HOST_C)
    browser.port = 8090
    style = "/wp-content/themes/twentytwentyone/style.css"

    def there() -> bool:
        try:
            return browser.get(style).status == 200
        except OSError:
            return False  # it starts when the node is ready

    until(there, "Apache serves what has come", 90, 0.2)
    assert (
        site.inside("site-apache", "cat", f"{CONTENT}/themes/twentytwentyone/style.css").encode()
        == browser.get(style).body
    )
    assert browser.get("/wp-content/.syncd/marker").status == 404
    of_syncd = "for it in $(grep -lsx syncd /proc/[0-9]*/comm); do grep Uid: ${it%comm}status; done"
    users = site.inside("site-apache", "sh", "-c", of_syncd)
    assert {line.split()[1] for line in users.splitlines()} == {"33"}, "syncd is www-data"
    site.docker("stop", "--time", "60", "site-apache")
    assert site.docker("inspect", "-f", "{{.State.ExitCode}}", "site-apache").strip() == "0", site.logs("site-apache")
    site.docker("rm", "site-apache")
