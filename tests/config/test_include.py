"""Configurations of several files."""

import pytest

from syncd.config import ConfigError
from syncd.config.include import MAX_INCLUDED
from tests.config.conftest import Place

SITE = '{"shared_folders": [{"dir": "site", "secret_file": "site.secret"}]}'
OTHER = '{\n"shared_folders": [\n{"dir": "other", "secret_file": "other.secret"}]}'


def main(include: str, rest: str = "") -> str:
    return f'{{"storage_path": "state", "include": {include}{rest}}}'


@pytest.fixture
def parts(place: Place) -> Place:
    (place.root / "conf.d").mkdir()
    (place.root / "conf.d/10-site.json").write_text(SITE)
    (place.root / "conf.d/20-other.json").write_text(OTHER)
    return place


def test_folders_of_all_files_are_taken_in_order(parts: Place) -> None:
    settings = parts.load(main('["conf.d/*.json"]')).settings
    assert [folder.dir for folder in settings.folders] == [str(parts.root / "site"), str(parts.root / "other")]


def test_a_file_that_is_named_twice_is_taken_once(parts: Place) -> None:
    settings = parts.load(main('["conf.d/20-other.json", "conf.d/*.json"]')).settings
    assert [folder.dir for folder in settings.folders] == [str(parts.root / "other"), str(parts.root / "site")]


def test_folders_are_added_to_those_of_the_first_file(parts: Place) -> None:
    rest = ', "shared_folders": [{"dir": "site", "secret_file": "site.secret"}]'
    settings = parts.load(main('["conf.d/2*.json"]', rest)).settings
    assert len(settings.folders) == 2


def test_other_keys_come_from_any_file(parts: Place) -> None:
    (parts.root / "conf.d/30.json").write_text('{"upload_limit": 7}')
    assert parts.load(main('["conf.d/*.json"]')).settings.upload_limit == 7_000


def test_a_pattern_may_match_nothing(parts: Place) -> None:
    rest = ', "shared_folders": [{"dir": "site", "secret_file": "site.secret"}]'
    assert len(parts.load(main('["none.d/*.json"]', rest)).settings.folders) == 1


def test_variables_are_filled_in_everywhere(parts: Place) -> None:
    (parts.root / "conf.d/30.json").write_text('{"device_name": "${NAME}"}')
    assert parts.load(main('["conf.d/*.json"]'), NAME="web1").settings.device_name == "web1"


def test_a_readable_secret_is_told_of_the_file_that_has_it(parts: Place) -> None:
    secret = (parts.root / "site.secret").read_text().strip()
    named = parts.root / "conf.d/10-site.json"
    named.write_text(f'{{"shared_folders": [{{"dir": "site", "secret": "{secret}"}}]}}')
    named.chmod(0o644)
    (warning,) = parts.load(main('["conf.d/*.json"]')).warnings
    assert f"chmod 600 {named}" in warning
    assert warning.startswith(f"{named}:1:")


@pytest.mark.parametrize(
    ("name", "text", "where", "message"),
    [
        ("30.json", '{"storage_path": "x"}', "conf.d/30.json:1:2", "already given at"),
        ("30.json", '{"include": []}', "conf.d/30.json:1:2", "includes no others"),
        ("30.json", "[]", "conf.d/30.json:1:1", "is an object"),
        ("30.json", '{\n "upload_limt": 1}', "conf.d/30.json:2:2", 'did you mean "upload_limit"?'),
        ("30.json", '{\n "upload_limit": "fast"}', "conf.d/30.json:2:18", "expected a whole number"),
        ("30.json", '{\n "device_name": "${NO_SUCH}"}', "conf.d/30.json:2:17", "NO_SUCH is not set"),
        ("30.json", '{"a" 1}', "conf.d/30.json:1:6", 'expected ":"'),
    ],
)
def test_faults_are_placed_in_their_own_file(parts: Place, name: str, text: str, where: str, message: str) -> None:
    (parts.root / "conf.d" / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        parts.load(main('["conf.d/*.json"]'))
    assert f"{parts.root}/{where}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ('"conf.d/10-site.json"', "expected a list of files"),
        ("[1]", "expected the name of a file"),
        ('["missing.json"]', "there is no "),
    ],
)
def test_faults_of_include_itself(parts: Place, include: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parts.load(main(include))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{parts.config}:1:")


def test_the_number_of_files_is_bounded(parts: Place) -> None:
    for number in range(MAX_INCLUDED):
        (parts.root / f"conf.d/{number}.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"at most {MAX_INCLUDED}"):
        parts.load(main('["conf.d/*.json"]'))
