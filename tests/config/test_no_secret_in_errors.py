"""Whatever is wrong about a configuration, its secret is not in what is told of it."""

import contextlib
import json
import traceback
from collections.abc import Iterator

import pytest

from syncd.config.errors import ConfigError
from syncd.config.include import read_document
from syncd.config.jsonc import SHOWN
from syncd.config.loader import check_values
from tests.config.conftest import SECRET, Place

PAYLOAD = SECRET.removeprefix("syncd-rw1-")
TEXT = json.dumps({"storage_path": "state", "shared_folders": [{"dir": "site", "secret": SECRET}]})


def wrong() -> Iterator[str]:
    """The configuration with one character less, more or different, around the secret and in it."""
    start, end = TEXT.index('"secret"'), TEXT.index(SECRET) + len(SECRET) + 4
    for place in range(start, end):
        yield TEXT[:place] + TEXT[place + 1 :]
        for char in ('"', "\n", "0", "${"):
            yield TEXT[:place] + char + TEXT[place:]
            yield TEXT[:place] + char + TEXT[place + 1 :]
    yield TEXT.replace('"secret"', '"secret_file"')
    yield TEXT.replace('"secret"', '"sekret"')
    yield TEXT.replace('"secret"', '"dir"')
    yield TEXT.replace('"dir": "site"', '"dir": 1')
    yield TEXT.replace(f'"{SECRET}"', f'["{SECRET}"]')
    yield TEXT.replace(f'"{SECRET}"', f'{{"{SECRET}": 1}}')
    yield TEXT.replace("rw1", "rw2")
    yield TEXT.replace("rw1", "relay1")
    yield TEXT.replace("}]", "}, 7]")


def leaks(text: str) -> bool:
    """Whether it shows more of the secret than a message may repeat of the file."""
    return any(PAYLOAD[at : at + SHOWN + 1].lower() in text.lower() for at in range(len(PAYLOAD) - SHOWN))


def test_errors_do_not_repeat_the_secret(place: Place) -> None:
    told = 0
    for text in wrong():
        try:
            place.load(text)
        except ConfigError as error:
            told += 1
            shown = "\n".join([*error.lines, repr(error), "".join(traceback.format_exception(error))])
            assert not leaks(shown), (text, shown)
    assert told > 300
    assert leaks(f"x {SECRET.upper()} y"), "the check itself"


def test_nothing_loaded_shows_the_secret(place: Place) -> None:
    loaded = place.load(TEXT)
    keys = loaded.settings.folders[0].keys
    document = read_document(str(place.config))
    model = check_values(document)
    shown = [repr(item) for item in (loaded, loaded.settings, keys, document, document.root, model, vars(document))]
    raw = [keys.psk, keys.ro_proof, keys.block_key, keys.folder_signing, keys.beacon_key, keys.tag_key]
    for text in shown:
        assert not leaks(text), text
        for key in raw:
            assert key is not None
            assert key.hex() not in text
            assert repr(key)[2:-1] not in text


def test_faults_of_the_values_do_not_show_them(place: Place) -> None:
    place.write(TEXT.replace('"dir": "site"', '"dir": 1').replace(f'"{SECRET}"', f'["{SECRET}"]'))
    with pytest.raises(ConfigError) as caught:
        check_values(read_document(str(place.config)))
    seen: BaseException | None = caught.value
    while seen is not None:
        assert not leaks(f"{seen} {seen!r}")
        seen = seen.__context__
    with contextlib.suppress(ConfigError):
        check_values(read_document(str(place.config)))
