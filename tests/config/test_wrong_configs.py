"""Configurations that cannot be used: file, line, column, key and message of each, and the exit code."""

import base64
import hashlib
import os
from pathlib import Path

import pytest

from protocol.keys import derive_read_only
from syncd.config import ConfigError, load
from syncd.config.explain import keys_of
from syncd.config.models import ConfigModel
from tests.config.conftest import SECRET, Place
from tests.config.test_jsonc import marked

GOOD_FOLDER = '"dir": "site", "secret_file": "site.secret"'


def node(keys: str) -> str:
    """A good configuration with further keys of the node."""
    return f'{{"storage_path": "state",\n "shared_folders": [{{{GOOD_FOLDER}}}],\n {keys}\n}}'


def folder(keys: str) -> str:
    """A good configuration with further keys of its folder."""
    return f'{{"storage_path": "state",\n "shared_folders": [{{{GOOD_FOLDER},\n  {keys}\n }}]}}'


def folders(text: str) -> str:
    return f'{{"storage_path": "state", "shared_folders": [\n{text}\n]}}'


def caught(place: Place, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught_error:
        place.load(text)
    return caught_error.value


SHAPE = [
    ("‸[]", "the configuration is an object"),
    ("‸{}", "shared_folders: is missing"),
    ('{"shared_folders": ‸[]}', "shared_folders: must not be empty"),
    ('{"shared_folders": ‸{}}', "shared_folders: expected a list: [ ... ]"),
    ('{"shared_folders": [‸"site"]}', "shared_folders[0]: expected an object: { ... }"),
    ('{"shared_folders": [‸{}]}', "shared_folders[0].dir: is missing"),
    (folders('‸{"dir": "site"}'), 'shared_folders[0]: needs "secret_file" or "secret"'),
    (
        folders('{"dir": "site",\n "secret": "x", ‸"secret_file": "site.secret"}'),
        'shared_folders[0].secret_file: give either "secret_file" or "secret" (line 3), not both',
    ),
    (folders(",".join([f"{{{GOOD_FOLDER}}}"] * 17)).replace("[", "‸[", 1), "shared_folders: has more than 16 entries"),
]

KEYS = [
    (node('‸"storage": "x"'), 'storage: unknown key; did you mean "storage_path"?'),
    (node('‸"Listening_Port": 5'), 'Listening_Port: unknown key; did you mean "listening_port"?'),
    (node('‸"known_hosts": []'), "known_hosts: belongs into the objects of shared_folders"),
    (folder('‸"knownhosts": []'), 'shared_folders[0].knownhosts: unknown key; did you mean "known_hosts"?'),
    (folder('‸"http": {"listen": ":1"}'), "shared_folders[0].http: belongs to the top level of the file"),
    (node('"log": {‸"levle": "info"}'), 'log.levle: unknown key; did you mean "level"?'),
    (node('"log": {‸"zzz": "info"}'), "log.zzz: unknown key; known here: level, format"),
    (
        folder('"priority": [{"class": "a", "match": ["*"]},\n {"class": "b", ‸"matches": ["*"], "match": ["*"]}]'),
        'shared_folders[0].priority[1].matches: unknown key; did you mean "match"?',
    ),
    (folder('"ready": {‸"class": []}'), 'shared_folders[0].ready.class: unknown key; did you mean "classes"?'),
    (folder('‸"thumbnails": 5'), "shared_folders[0].thumbnails: unknown key"),
    (node('‸"directory_root": "/srv"'), "directory_root: unknown key"),
]

VALUES = [
    (node('"device_name": ‸5'), "device_name: expected text in double quotes"),
    (node('"device_name": ‸""'), "device_name: must not be empty"),
    (node('"device_name": ‸"a\\nb"'), "device_name: must not hold control characters"),
    (node(f'"device_name": ‸"{"x" * 256}"'), "device_name: is longer than 255 characters"),
    (node('"listening_address": ‸"10.0.0.1:5"'), "listening_address: '10.0.0.1:5' is neither a host name nor an IP"),
    (node('"listening_port": ‸"ssh"'), "listening_port: expected a whole number"),
    (node('"listening_port": ‸65536'), "listening_port: must be 65535 or less"),
    (node('"listening_port": ‸-1'), "listening_port: must be 0 or more"),
    (node('"listening_port": ‸1.5'), "listening_port: expected a whole number"),
    (node('"listening_port": ‸true'), "listening_port: expected a whole number"),
    (node('"upload_limit": ‸-1'), "upload_limit: must be 0 or more"),
    (node('"download_limit": ‸null'), "download_limit: expected a whole number"),
    (node('"folder_rescan_interval": ‸"often"'), "folder_rescan_interval: expected a number"),
    (node('"publish_alone_after": ‸-0.5'), "publish_alone_after: must be 0 or more"),
    (node('"sync_trash_ttl": ‸0'), "sync_trash_ttl: must be 1 or more"),
    (folder('"max_file_size": ‸"5%"'), "shared_folders[0].max_file_size: expected a size of one byte at least"),
    (node('"min_free": ‸5'), "min_free: expected text"),
    (node('"min_free": ‸"lots"'), "min_free: expected a share of the file system"),
    (node('"archive_max": ‸"200%"'), "archive_max: a share of the file system is at most 100%"),
    (node('"http": ‸"127.0.0.1:8385"'), "http: expected an object"),
    (node('"http": {"listen": ‸"8385"}'), "http.listen: expected host:port"),
    (node('"http": ‸{}'), "http.listen: is missing"),
    (node('"agent_check": {"listen": ‸"a:b"}'), "agent_check.listen: 'b' is not a port"),
    (node('"log": {"level": ‸"loud"}'), 'log.level: expected "debug", "info", "warning" or "error"'),
    (node('"advertise_address": ‸"dns:a"'), "advertise_address: expected host:port"),
    (node('"service": ‸"1.2.3.4:0"'), "service: '0' is not a port"),
    (node('"service": ‸"web1:80"'), "service: expected an IP address and a port"),
    (node('"service": ‸"10.0.0.5"'), "service: expected an IP address and a port"),
    (node('"haproxy": {"socket": ‸"h:1", "backend": "b", "slots": "n"}'), "haproxy.socket: must be the path"),
    (node('"haproxy": {"socket": "/s", "backend": ‸"a b", "slots": "n"}'), "haproxy.backend: "),
    (node('"local_check": {"url": ‸"http://192.0.2.1/"}'), "192.0.2.1 is no address of this machine"),
    (node('"local_check": {"url": ‸"http://localhost/"}'), "'localhost' is not an IP address"),
    (node('"local_check": {"url": ‸"https://127.0.0.1/"}'), "expected http:// and an address of this machine"),
    (node('"local_check": {"url": ‸"http://a@127.0.0.1/"}'), "expected http:// and an address of this machine"),
    (node('"webhook": ‸{}'), "webhook.url: "),
    (node('"webhook": {"url": ‸"ftp://h/"}'), "webhook.url: expected https:// or http:// and a host"),
    (node('"webhook": {"url": ‸"https://[h/"}'), "webhook.url: expected https:// or http:// and a host"),
    (node('"webhook": {"url": ‸"https://h:99999/"}'), "webhook.url: expected https:// or http:// and a host"),
    (node('"webhook": {"url": ‸"https://h/a b"}'), "webhook.url: expected https:// or http:// and a host"),
    (node('"webhook": {"url": ‸"https://u:p@h/"}'), "webhook.url: takes no name, password or #fragment"),
    (node('"webhook": {"url": "https://h/", "events": [‸"applied"]}'), "webhook.events[0]: "),
    (node('"webhook": {"url": "https://h/", "events": ‸[]}'), "webhook.events: must not be empty"),
    (node('"flush_timeout": ‸-1'), "flush_timeout: must be 0 or more"),
    (folder('"on_applied": [{"match": ["*"], "command": ‸["true"]}]'), "must be the absolute path of a program"),
    (folder('"on_applied": [{"match": ‸[], "command": ["/bin/true"]}]'), "shared_folders[0].on_applied[0].match: "),
    (
        folder('"on_applied": ‸[{"match": ["*"], "command": ["/bin/true"]}]').replace(
            '"storage_path"', '"sandbox": "landlock", "storage_path"'
        ),
        "excludes",
    ),
    (folder('"known_hosts": ["a",\n ‸"b:x"]'), "shared_folders[0].known_hosts[1]: 'x' is not a port"),
    (folder('"known_hosts": ‸"a"'), "shared_folders[0].known_hosts: expected a list"),
    (folder('"known_hosts": [‸null]'), "shared_folders[0].known_hosts[0]: expected text"),
    (folder('"search_lan": ‸"yes"'), "shared_folders[0].search_lan: expected true or false"),
    (folder('"search_lan": ‸1'), "shared_folders[0].search_lan: expected true or false"),
    (folder('"symlinks": ‸"follow"'), 'shared_folders[0].symlinks: expected "all", "inside" or "none"'),
    (folder('"conflict_copies": ‸"both"'), 'shared_folders[0].conflict_copies: expected "archive" or "beside"'),
    (folder('"file_mode": ‸644'), 'shared_folders[0].file_mode: is octal and therefore text: "0644"'),
    (folder('"file_mode": ‸"4755"'), "shared_folders[0].file_mode: expected permission bits in octal"),
    (folder('"dir_mode": ‸"0644"'), "shared_folders[0].dir_mode: would lock the owner out"),
    (folder('"owner": ‸""'), "shared_folders[0].owner: must not be empty"),
    (folder('"owner": ‸true'), "shared_folders[0].owner: expected text"),
    (folder('"ignore": ["ok", ‸"a//b"]'), "shared_folders[0].ignore[1]: pattern 'a//b': has an empty component"),
    (folder('"ignore": [‸"[a"]'), "shared_folders[0].ignore[0]: pattern '[a': has a '[' without ']'"),
    (folder('"atomic": ‸"/themes/*"'), "shared_folders[0].atomic: expected a list"),
    (folder('"ready": {"alone_after": ‸"never"}'), "shared_folders[0].ready.alone_after: expected a number"),
    (
        folder('"priority": [{"class": ‸"a b", "match": ["*"]}]'),
        "shared_folders[0].priority[0].class: may hold letters, digits and . _ - only",
    ),
    (folder('"priority": [{"class": "a", "match": ‸[]}]'), "shared_folders[0].priority[0].match: must not be empty"),
    (folder('"priority": [‸{"match": ["*"]}]'), "shared_folders[0].priority[0].class: is missing"),
    (
        node('"priority": [{"class": "a", "match": ["*"], "order": ‸"fastest"}]'),
        "priority[0].order: expected one of name, newest, oldest",
    ),
]

MEANING = [
    (
        folder('"priority": [{"class": "a", "match": ["/x"]},\n {"class": ‸"a", "match": ["*"]}]'),
        'shared_folders[0].priority[1].class: the class "a" is already defined at line 3',
    ),
    (folder('"priority": ‸[{"class": "a", "match": ["# x"]}]'), "shared_folders[0].priority: class 'a' has no pattern"),
    (node('"priority": ‸[{"class": "rest", "match": ["/x"]}]'), "priority: two classes are named 'rest'"),
    (
        folder('"priority": [{"class": "themes", "match": ["/x"]}],\n "ready": {"classes": [‸"theme"]}'),
        'shared_folders[0].ready.classes[0]: there is no class "theme" in priority; did you mean "themes"?',
    ),
    (folder('"ready": {"classes": [‸"x"]}'), 'there is no class "x" in priority; classes here: rest'),
    (folder('"owner": ‸"no-such-user"'), "shared_folders[0].owner: there is no user 'no-such-user' on this machine"),
    (folder('"group": ‸"no-such-group"'), "shared_folders[0].group: there is no group 'no-such-group'"),
    (folder('"owner": ‸4294967295'), "shared_folders[0].owner: 4294967295 is not a number of a user"),
    (folders('{"dir": "site", "secret": ‸"opensesame"}'), "shared_folders[0].secret: a secret begins with"),
    (folders('{"dir": "site", "secret": ‸"B7BUSFHTZ2SG4HQKSQPI7VIWOZ7ND2KIW"}'), "derive-secret --read-only"),
    (folders(f'{{"dir": "site", "secret": ‸"{SECRET[:-1]}"}}'), "the secret is cut off"),
    (
        folders(f'{{{GOOD_FOLDER}}},\n‸{{"dir": "other", "secret_file": "site.secret"}}'),
        "shared_folders[1]: has the same secret as the folder of line 2",
    ),
    (
        folders(f'{{{GOOD_FOLDER}}},\n‸{{"dir": "other", "secret": "{derive_read_only(SECRET)}"}}'),
        "shared_folders[1]: has the same secret as the folder of line 2; each needs its own",
    ),
    (folders(f'{{{GOOD_FOLDER}}}').replace('"state"', '‸5'), "storage_path: expected text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [*SHAPE, *KEYS, *VALUES, *MEANING])
def test_place_and_message(place: Place, text: str, message: str) -> None:
    text, at = marked(text)
    error = caught(place, text)
    assert message in error.message
    assert str(error).startswith(f"{place.config}:{at.line}:{at.column}: ")
    assert error.code == os.EX_CONFIG
    assert "\n" not in str(error)
    assert SECRET[:20] not in str(error)


def test_relay_secrets_are_for_a_later_version(place: Place) -> None:
    payload = bytes(64)
    checksum = hashlib.sha256(b"syncd-relay1-" + payload).digest()[:4]
    relay = "syncd-relay1-" + base64.b32encode(payload + checksum).decode().rstrip("=").lower()
    error = caught(place, folders(f'{{"dir": "site", "secret": "{relay}"}}'))
    assert error.message.startswith("shared_folders[0].secret: relay secrets cannot be used in this version")


def test_all_faults_of_the_values_are_told_in_order(place: Place) -> None:
    error = caught(place, '{"upload_limit": "x",\n "shared_folders": [{"dir": 5}],\n "zzz": 1}')
    assert error.lines == [
        f"{place.config}:1:18: upload_limit: expected a whole number",
        f"{place.config}:2:29: shared_folders[0].dir: expected text in double quotes",
        f"{place.config}:3:2: zzz: unknown key; known here: {', '.join(keys_of(ConfigModel))}",
    ]


def test_a_variable_that_is_not_set(place: Place) -> None:
    error = caught(place, folders('{"dir": "${WHERE}", "secret_file": "site.secret"}'))
    assert (error.line, error.column) == (2, 9)
    assert "WHERE is not set" in error.message


def test_bytes_that_are_no_text(place: Place) -> None:
    place.config.write_bytes(b'{\n "dir": "\xff"}')
    with pytest.raises(ConfigError) as caught_error:
        load(str(place.config), {})
    assert str(caught_error.value) == f"{place.config}:2:10: this byte is not UTF-8; save the file as UTF-8"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(ConfigError) as caught_error:
        load(str(path), {})
    assert str(caught_error.value) == f"{path}: there is no such file; `syncd init --dir DIR` writes one"
    assert caught_error.value.code == os.EX_CONFIG


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(str(tmp_path), {})


def test_a_pipe_in_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="the file is empty"):
        load(str(tmp_path / "pipe"), {})


def test_a_file_that_is_no_configuration_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load(str(path), {})


def test_a_file_that_may_not_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> int:
        raise PermissionError

    monkeypatch.setattr("syncd.config.document.os.open", forbidden)
    error = caught(place, "{}")
    assert error.code == os.EX_NOPERM
    assert "permission denied" in str(error)
