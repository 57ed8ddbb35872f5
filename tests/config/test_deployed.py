"""The configurations in deploy/ load as they are shipped, and mean what their first lines say."""

from pathlib import Path

import pytest

from tests.config.conftest import Place

DEPLOYED = Path(__file__).parents[2] / "deploy/config"


@pytest.mark.parametrize("file", sorted(DEPLOYED.glob("*.json")), ids=lambda file: file.name)
def test_it_loads_without_a_warning(place: Place, file: Path) -> None:
    text = (
        file.read_text()
        .replace('"/data"', f'"{place.root}/site"')
        .replace("/var/www/html/wp-content", f"{place.root}/site")
    )
    text = text.replace('"/state"', '"state"').replace('"/var/lib/syncd"', '"state"')
    text = text.replace('"wp.secret"', '"site.secret"').replace('"wp-read-only.secret"', '"site.secret"')
    loaded = place.load(text, AGENT="10.0.0.1:55555", LISTEN="127.0.0.1")
    assert [each.name for each in loaded.settings.folders[0].priority] == ["themes", "plugins", "uploads"]
    assert [warning for warning in loaded.warnings if "not in effect yet" not in warning] == []
    hosts = [str(host) for host in loaded.settings.folders[0].known_hosts]
    assert hosts == ([] if file.name == "host-primary.json" else ["10.0.0.1:55555"])
