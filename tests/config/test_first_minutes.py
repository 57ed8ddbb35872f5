"""Mistakes of the first ten minutes, and the one line that docs/FAQ.md shows for each."""

import pytest

from protocol.keys import derive_read_only
from syncd.config import ConfigError
from tests.config.conftest import SECRET, Place

OLD_DERIVED = "B" + "Q2QNEXVFHEVZB4HOZHXWQYPRFWNCHIVC"
FOLDER = '{"dir": "site", "secret_file": "site.secret"}'


def config(folders: str, rest: str = "", behind: str = "") -> str:
    return f'{{"storage_path": "state", {rest} "shared_folders": [{folders}]}}{behind}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            config('{"dir": "site", "secret_fil": "site.secret"}'),
            ['shared_folders[0].secret_fil: unknown key; did you mean "secret_file"?'],
        ),
        (config(FOLDER, '"listening_port": "high",'), ["listening_port: expected a whole number"]),
        (config(FOLDER, behind=" x"), ["unexpected 'x' after the end of the document"]),
        (
            config('{"dir": "site", "secret": "${WP}"}'),
            ["the environment variable WP is not set; set it, or WP_FILE, or write ${WP:-default}"],
        ),
        (
            config('{"dir": "missing", "secret_file": "site.secret"}'),
            ["does not exist; mount it, or create it with: mkdir -p"],
        ),
        (
            config(f'{{"dir": "site", "secret": "{OLD_DERIVED}"}}'),
            ["of the secrets of BitTorrent Sync 1.x only the read-write one"],
        ),
        (config('{"dir": "site", "secret": "correct horse battery staple"}'), ["passphrases are refused"]),
        (
            config(f'{FOLDER}, {{"dir": "other", "secret_file": "site.secret"}}'),
            ["has the same secret as the folder of line"],
        ),
    ],
)
def test_the_line_says_what_where_and_what_to_do(place: Place, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(text)
    (line,) = caught.value.lines
    assert line.startswith(f"{place.config}:1:")
    for word in words:
        assert word in line


def test_a_secret_file_that_others_can_read(place: Place) -> None:
    place.secret("site.secret", SECRET).chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        place.folder()
    assert "others can read" in str(caught.value)
    assert "chmod 600" in str(caught.value)


def test_swapped_secrets_make_two_folders_of_other_tiers(place: Place) -> None:
    """A read-only secret in the place of the other one is no mistake that a file can show: the tier tells it."""
    place.secret("site.secret", derive_read_only(SECRET))
    assert place.folder().settings.folders[0].keys.tier.name == "READ_ONLY"
