"""What `check-config --explain` tells."""

from syncd.config.effective import DEFAULT, effective_values
from tests.config.conftest import SECRET, Place


def test_values_and_where_they_come_from(place: Place) -> None:
    (place.root / "more.json").write_text('{"upload_limit": 5}')
    folder = f'{{"dir": "site", "secret": "{SECRET}"}}'
    text = f'{{\n"include": ["more.json"],\n"listening_port": "${{PORT}}",\n"shared_folders": [{folder}]}}'
    found = {value.name: value for value in effective_values(str(place.write(text)), {"PORT": "4000"})}
    assert (found["listening_port"].text, found["listening_port"].origin) == ("4000", f"{place.config}:3:19")
    assert (found["upload_limit"].text, found["upload_limit"].origin) == ("5", f"{place.root}/more.json:1:18")
    assert (found["download_limit"].text, found["download_limit"].origin) == ("0", DEFAULT)
    assert found["shared_folders[0].dir"].text == '"site"'
    assert found["shared_folders[0].ready.allow_empty"].origin == DEFAULT
    assert found["log.level"] == ("log.level", '"info"', DEFAULT, "The least severe level shown.")
    assert all(SECRET not in value.text for value in found.values())
    assert found["shared_folders[0].secret"].text == '"..."'


def test_the_address_of_a_webhook_is_shown_to_nobody(place: Place) -> None:
    place.folder()  # makes the directory
    url = "https://hooks.example.org/a-token"
    text = f'{{"webhook": {{"url": "{url}"}}, "shared_folders": [{{"dir": "site", "secret": "{SECRET}"}}]}}'
    found = {value.name: value.text for value in effective_values(str(place.write(text)), {})}
    assert found["webhook.url"] == '"..."'
    assert "a-token" not in " ".join(found.values())
