"""Who may read and replace a secret file."""

import os
import pwd
from pathlib import Path

import pytest

from syncd.config import ConfigError, OperatorError
from syncd.config.secret_file import read_secret_file
from tests.config.conftest import SECRET, Place

STRANGER = 54321


def refused(path: Path, environment: dict[str, str] | None = None) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        read_secret_file(str(path), environment or {})
    return caught.value


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440, 0o700])
def test_private_files_are_read(place: Place, mode: int) -> None:
    path = place.root / "site.secret"
    path.chmod(mode)
    assert read_secret_file(str(path), {}) == SECRET


@pytest.mark.parametrize(("mode", "verb"), [(0o644, "read"), (0o604, "read"), (0o602, "write"), (0o620, "write")])
def test_files_that_others_can_read_or_write(place: Place, mode: int, verb: str) -> None:
    path = place.root / "site.secret"
    path.chmod(mode)
    error = refused(path)
    assert str(error) == f"others can {verb} {path} (mode {mode:04o}): chmod 600 {path}"
    assert error.code == os.EX_NOPERM


def test_the_configuration_tells_the_place(place: Place) -> None:
    (place.root / "site.secret").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        place.folder()
    error = caught.value
    assert str(error).startswith(f"{place.config}:1:77: shared_folders[0].secret_file: others can read ")
    assert str(error).endswith(f": chmod 600 {place.root}/site.secret")
    assert error.code == os.EX_NOPERM


def test_the_line_can_be_pasted(place: Place) -> None:
    path = place.secret("it is mine.secret", SECRET)
    path.chmod(0o644)
    assert str(refused(path)).endswith(f": chmod 600 '{path}'")


def test_files_and_links_of_strangers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.root / "site.secret"
    link = place.root / "link"
    link.symlink_to("site.secret")
    assert read_secret_file(str(link), {}) == SECRET
    # whoever runs the tests plays the stranger; root's own files are always trusted
    if os.geteuid() == 0:
        os.lchown(link, STRANGER, STRANGER)
        assert "is a symbolic link of another user (54321); name the file itself" in str(refused(link))
        os.chown(path, STRANGER, STRANGER)
        assert str(refused(path)) == f"{path} belongs to another user (54321): chown root {path}"
    else:
        monkeypatch.setattr("syncd.config.secret_file.os.geteuid", lambda: STRANGER)
        assert "is a symbolic link of another user" in str(refused(link))
        assert f"belongs to another user ({pwd.getpwuid(os.getuid()).pw_name})" in str(refused(path))


@pytest.mark.parametrize("below", ["wp", "deeper/wp"])
def test_private_mounts_are_exempt(place: Place, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    mount = place.root / "run"
    path = mount / below
    path.parent.mkdir(parents=True)
    path.write_text(SECRET)
    path.chmod(0o444)
    (place.root / "runner").symlink_to("run")
    assert refused(path).code == os.EX_NOPERM
    assert read_secret_file(str(path), {"CREDENTIALS_DIRECTORY": str(mount)}) == SECRET
    assert read_secret_file(str(path), {"CREDENTIALS_DIRECTORY": str(place.root / "runner")}) == SECRET
    monkeypatch.setattr("syncd.config.secret_file.PRIVATE_MOUNT", str(mount))
    assert read_secret_file(str(path), {}) == SECRET


@pytest.mark.parametrize("elsewhere", ["{root}/ru", "relative", ""])
def test_only_the_private_mount_is_exempt(place: Place, elsewhere: str) -> None:
    path = place.root / "run.secret"
    path.write_text(SECRET)
    path.chmod(0o444)
    assert refused(path, {"CREDENTIALS_DIRECTORY": elsewhere.format(root=place.root)}).code == os.EX_NOPERM


def test_a_link_out_of_the_private_mount_is_not_exempt(place: Place) -> None:
    mount = place.root / "run"
    mount.mkdir()
    (mount / "wp").symlink_to(place.root / "site.secret")
    (place.root / "site.secret").chmod(0o444)
    assert refused(mount / "wp", {"CREDENTIALS_DIRECTORY": str(mount)}).code == os.EX_NOPERM


def test_what_is_no_secret_file(place: Place) -> None:
    missing = place.root / "missing"
    assert str(refused(missing)) == f"{missing} does not exist; `syncd generate-secret --out {missing}` makes one"
    assert "cannot be read: Is a directory" in str(refused(place.root / "site"))
    os.mkfifo(place.root / "pipe", 0o600)
    assert "is not a regular file" in str(refused(place.root / "pipe"))
    big = place.secret("big", "a" * 5000)
    assert "larger than 4096 bytes" in str(refused(big))
    big.write_bytes(b"\xff\xfe")
    assert "is not text" in str(refused(big))


def test_a_file_that_may_not_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> int:
        raise PermissionError

    monkeypatch.setattr("syncd.config.secret_file.os.open", forbidden)
    error = refused(place.root / "site.secret")
    assert error.code == os.EX_NOPERM
    assert "cannot be read by this user: chown" in str(error)
