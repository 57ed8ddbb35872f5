"""What must hold on this machine: folders, storage, accounts. The messages hold the command that mends it."""

import os
import pwd

import pytest

from syncd.config import ConfigError, machine
from tests.config.conftest import Place

TWO = """{{"storage_path": "{storage}", "shared_folders": [
 {{"dir": "{first}", "secret_file": "site.secret"}},
 {{"dir": "{second}", "secret_file": "other.secret"}}]}}"""


def fault(place: Place, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        place.load(text)
    return caught.value


def one(directory: str = "site", storage: str = "state") -> str:
    folder = f'{{"dir": "{directory}", "secret_file": "site.secret"}}'
    return f'{{"storage_path": "{storage}",\n "shared_folders": [{folder}]}}'


def test_a_missing_folder_is_never_made(place: Place) -> None:
    error = fault(place, one("it's gone"))
    gone = place.root / "it's gone"
    assert error.message.startswith(f"shared_folders[0].dir: {gone} does not exist; mount it")
    assert error.message.endswith(f"mkdir -p '{place.root}/it'\"'\"'s gone'")
    assert (error.line, error.column, error.code) == (2, 29, os.EX_CONFIG)
    assert not gone.exists()


def test_a_file_is_no_folder(place: Place) -> None:
    assert "is not a directory" in fault(place, one("site.secret")).message


def test_a_folder_that_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncd.config.machine.os.access", lambda *_, **__: False)
    error = fault(place, one())
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert error.message.endswith(f"cannot be written by {me}: chown {me} {place.root}/site")
    assert error.code == os.EX_NOPERM


@pytest.mark.parametrize(
    ("first", "second", "storage", "message", "line"),
    [
        ("site", "site/./", "state", "{root}/site is already the folder of line 2", 3),
        ("site", "site/below", "state", "{root}/site/below lies inside {root}/site, the folder of line 2", 3),
        ("site/below", "site", "state", "{root}/site/below, the folder of line 2, lies inside {root}/site", 3),
        ("site", "link/below", "state", "{root}/link/below lies inside {root}/site, the folder of line 2", 3),
        ("site", "other", "other/state", "{root}/other/state lies inside {root}/other, the folder of line 3", 1),
        ("site", "other", ".", "{root}/site, the folder of line 2, lies inside {root}", 1),
        ("site", "other", "site", "{root}/site is already the folder of line 2", 1),
    ],
)
def test_places_lie_apart(place: Place, first: str, second: str, storage: str, message: str, line: int) -> None:
    (place.root / "site/below").mkdir()
    (place.root / "link").symlink_to("site")
    error = fault(place, TWO.format(first=first, second=second, storage=storage))
    assert message.format(root=place.root) in error.message
    assert error.line == line


def test_names_with_a_common_beginning_are_apart(place: Place) -> None:
    (place.root / "site-2").mkdir()
    loaded = place.load(TWO.format(first="site", second="site-2", storage="site-3"))
    assert [folder.dir for folder in loaded.settings.folders] == [f"{place.root}/site", f"{place.root}/site-2"]


def test_storage_that_cannot_be_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(place.root / "site")
    monkeypatch.setattr("syncd.config.machine.os.access", lambda path, *_, **__: path == folder)
    me = pwd.getpwuid(os.geteuid()).pw_name
    error = fault(place, one(storage="a/b"))
    make = f"sudo install -d -m 700 -o {me} {place.root}/a/b"
    assert error.message == f"storage_path: {place.root}/a/b cannot be created in {place.root} by {me}: {make}"
    assert (error.line, error.column, error.code) == (1, 18, os.EX_NOPERM)
    (place.root / "state").mkdir()
    assert f"{place.root}/state cannot be written by {me}" in fault(place, one()).message


def test_storage_below_a_file(place: Place) -> None:
    error = fault(place, one(storage="site.secret/x"))
    assert error.message == f"storage_path: {place.root}/site.secret is not a directory"


def test_storage_whose_control_socket_has_no_room(place: Place) -> None:
    assert "too long for the control socket" in fault(place, one(storage="x" * 100)).message


def test_accounts_by_name_and_number(place: Place) -> None:
    me = pwd.getpwuid(os.geteuid())
    folder = place.folder(f'"owner": "{me.pw_name}", "group": "12345"').settings.folders[0]
    assert (folder.owner, folder.group) == (me.pw_uid, 12345)
    assert place.folder('"owner": 33').settings.folders[0].owner == 33


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr("syncd.config.machine.pwd.getpwuid", nobody)
    monkeypatch.setattr("syncd.config.machine.os.access", lambda *_, **__: False)
    with pytest.raises(Exception, match=f"by {os.geteuid()}: chown {os.geteuid()} /"):
        machine.check_folder("/")


def audited(place: Place, file: str) -> str:
    return one().replace('"storage_path"', f'"audit": {{"file": "{file}"}}, "storage_path"')


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("site/audit.jsonl", "lies in the folder"),
        ("gone/audit.jsonl", "does not exist; create it with: mkdir -p"),
        ("other", "is a directory; name a file in it"),
    ],
)
def test_an_audit_log_in_a_wrong_place(place: Place, file: str, words: str) -> None:
    error = fault(place, audited(place, file))
    assert error.message.startswith(f"audit.file: {place.root}")
    assert words in error.message


def test_an_audit_log_behind_a_link_into_the_folder(place: Place) -> None:
    (place.root / "link").symlink_to(place.root / "site")
    assert "it would replicate itself" in fault(place, audited(place, "link/audit.jsonl")).message


@pytest.mark.parametrize("file", ["audit.jsonl", "state/audit.jsonl"])
def test_an_audit_log(place: Place, file: str) -> None:
    audit = place.load(audited(place, file)).settings.audit
    assert audit is not None
    assert (audit.file, audit.files) == (str(place.root / file), 10)
