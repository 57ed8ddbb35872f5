"""Configurations that work, and what they mean."""

import os

import pytest

from protocol.keys import Tier, derive_read_only, parse_secret
from syncd.config import Amount, HostKind, KnownHost, Listen, Ready, load
from syncd.config.errors import without_secrets
from syncd.config.loader import APART
from tests.config.conftest import SECRET, Place


def test_defaults(place: Place) -> None:
    loaded = place.folder()
    settings = loaded.settings
    folder = settings.folders[0]
    assert loaded.warnings == []
    assert settings.file == str(place.config)
    assert settings.device_name == os.uname().nodename
    assert (settings.listening_address, settings.listening_port) == ("", 55555)
    assert settings.storage_path == str(place.root / "state")
    assert (settings.upload_limit, settings.download_limit) == (0, 0)
    assert (settings.min_free, settings.archive_max) == (Amount(5.0, None), Amount(10.0, None))
    assert settings.archive_ttl == 30 * 86_400
    assert (settings.http, settings.agent_check, settings.service, settings.advertise_address) == (None, None, "", "")
    assert (settings.log.level, settings.log.format) == ("info", "text")
    assert folder.dir == str(place.root / "site")
    assert folder.keys == parse_secret(SECRET)
    assert (folder.known_hosts, folder.priority, folder.atomic, folder.ignore) == ((), (), (), ())
    assert (folder.owner, folder.group, folder.file_mode, folder.dir_mode) == (None, None, None, None)
    assert (folder.symlinks, folder.overwrite_changes, folder.search_lan) == ("all", True, False)
    assert folder.ready == Ready((), None, False)
    assert (folder.folder_rescan_interval, folder.publish_alone_after) == (600.0, 10.0)


def test_every_key(place: Place) -> None:
    loaded = place.folder(
        """
        "known_hosts": ["10.0.0.2:1", "dns:tasks.wp", "10.0.0.2:1", "srv:_s._tcp.wp"], "search_lan": true,
        "priority": [{"class": "themes", "match": ["/themes/", "/mu/"], "order": "newest"}],
        "atomic": ["/themes/*"], "ignore": ["*.log"], "owner": 5, "group": 6, "file_mode": "0640", "dir_mode": "750",
        "symlinks": "inside", "ready": {"classes": ["themes", "rest"], "alone_after": 30, "allow_empty": true},
        "overwrite_changes": false, "folder_rescan_interval": 60, "publish_alone_after": 0.5,
        "conflict_copies": "beside",
        """,
        """
        "device_name": "web1", "listening_address": "FE80::1", "listening_port": 5000, "upload_limit": 100,
        "download_limit": 200, "min_free": "1 GB", "archive_max": "20%", "sync_trash_ttl": 2, "service": "10.0.0.1:80",
        "advertise_address": "10.0.0.1", "http": {"listen": ":8385"}, "agent_check": {"listen": "[::1]:8386"},
        "log": {"level": "debug", "format": "json"}, "priority": [{"class": "unused", "match": ["*"]}],
        """,
    )
    settings, folder = loaded.settings, loaded.settings.folders[0]
    assert folder.known_hosts == (
        KnownHost(HostKind.HOST, "10.0.0.2", 1),
        KnownHost(HostKind.DNS, "tasks.wp", 55555),
        KnownHost(HostKind.SRV, "_s._tcp.wp", 0),
    )
    assert [(each.name, each.patterns, each.order) for each in folder.priority] == [
        ("themes", ("/themes/", "/mu/"), "newest")
    ]
    assert (folder.atomic, folder.ignore, folder.owner, folder.group) == (("/themes/*",), ("*.log",), 5, 6)
    assert (folder.file_mode, folder.dir_mode, folder.symlinks) == (0o640, 0o750, "inside")
    assert folder.ready == Ready(("themes", "rest"), 30.0, True)
    assert (folder.overwrite_changes, folder.search_lan, folder.conflict_copies) == (False, True, "beside")
    assert (folder.folder_rescan_interval, folder.publish_alone_after) == (60.0, 0.5)
    assert (settings.device_name, settings.listening_address, settings.listening_port) == ("web1", "FE80::1", 5000)
    assert (settings.upload_limit, settings.download_limit) == (100_000, 200_000)
    assert (settings.min_free, settings.archive_max) == (Amount(None, 10**9), Amount(20.0, None))
    assert (settings.archive_ttl, settings.service) == (172_800.0, "10.0.0.1:80")
    assert settings.advertise_address == "10.0.0.1:55555"
    assert (settings.http, settings.agent_check) == (Listen("", 8385), Listen("::1", 8386))
    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_classes_of_the_node_serve_folders_that_have_none(place: Place) -> None:
    of_node = '"priority": [{"class": "first", "match": ["/a/"]}]'
    assert [each.name for each in place.folder(node=of_node).settings.folders[0].priority] == ["first"]
    assert place.folder('"priority": []', of_node).settings.folders[0].priority == ()
    assert place.folder('"ready": {"classes": ["first"]}', of_node).settings.folders[0].ready.classes == ("first",)
    loaded = place.folder('"folder_rescan_interval": 0', '"publish_alone_after": 3, "folder_rescan_interval": 9')
    folder = loaded.settings.folders[0]
    assert (folder.folder_rescan_interval, folder.publish_alone_after) == (0.0, 3.0)


def test_an_old_file_of_bittorrent_sync(place: Place) -> None:
    loaded = place.load(
        f"""
        {{
          "device_name": "My Sync Device",
          "listening_port" : 0, // 0 - randomize port
          "storage_path" : "state",
          "pid_file" : "/var/run/btsync/btsync.pid",
          "check_for_updates" : true,
          "use_upnp" : true,
          "download_limit" : 0, "upload_limit" : 0,
          /* remove the listen field to disable WebUI */
          "webui" : {{"listen" : "0.0.0.0:8888", "login" : "admin", "password" : "password"}},
          "shared_folders" :
          [
            {{
              "secret" : "${{SECRET}}",
              "dir" : "{place.root}/site",
              "use_relay_server" : true, "use_tracker" : true, "use_dht" : false, "search_lan" : true,
              "use_sync_trash" : false, "overwrite_changes" : false,
              "known_hosts" : ["192.168.1.2:44444"],
            }}
          ],
          "lan_encrypt_data": true, "rate_limit_local_peers": false, "folder_rescan_interval": 600,
        }}
        """,
        SECRET=SECRET,
    )
    assert loaded.settings.listening_port == 55555
    assert loaded.settings.folders[0].known_hosts == (KnownHost(HostKind.HOST, "192.168.1.2", 44444),)
    assert loaded.settings.folders[0].overwrite_changes is False
    apart, ignored, trash, port = loaded.warnings
    assert apart == f"{place.config}: {APART}", "the first line of the log"
    assert ignored == (
        f"{place.config}: ignored, because these keys of BitTorrent Sync mean nothing here: pid_file (line 6), "
        "check_for_updates (line 7), use_upnp (line 8), webui (line 11), lan_encrypt_data (line 22), "
        "rate_limit_local_peers (line 22), use_relay_server (line 17), use_tracker (line 17), use_dht (line 17)"
    )
    assert trash.startswith(f"{place.config}:18:34: shared_folders[0].use_sync_trash: has no effect")
    assert port == f"{place.config}:4:30: listening_port: 0 means the default port here, 55555"
    assert loaded.settings.folders[0].search_lan is True


def test_numbers_and_flags_from_the_environment(place: Place) -> None:
    text = """{
      "storage_path": "${STATE:-state}", "listening_port": "${PORT}", "publish_alone_after": "${ALONE}",
      "shared_folders": [{
        "dir": "site", "secret": "${SECRET}", "overwrite_changes": "${REVERT}", "file_mode": "${MODE}"
      }]
    }"""
    settings = place.load(text, PORT="5000", ALONE="1.5", REVERT="false", SECRET=SECRET, MODE="0600").settings
    assert (settings.listening_port, settings.folders[0].publish_alone_after) == (5000, 1.5)
    assert settings.folders[0].overwrite_changes is False
    assert settings.folders[0].file_mode == 0o600


def test_read_only_secrets(place: Place) -> None:
    place.secret("site.secret", derive_read_only(SECRET))
    assert place.folder().settings.folders[0].keys.tier is Tier.READ_ONLY


def test_a_readable_file_with_a_secret_in_it_is_told(place: Place) -> None:
    text = f'{{"storage_path": "state", "shared_folders": [{{"dir": "site", "secret": "{SECRET}"}}]}}'
    place.write(text)
    place.config.chmod(0o644)
    (warning,) = place.load(text).warnings
    assert warning.startswith(f"{place.config}:1:72: shared_folders[0].secret: others can read the secret")
    assert f"chmod 600 {place.config}" in warning
    place.config.chmod(0o640)
    assert place.load(text).warnings == []
    place.config.chmod(0o644)
    assert place.load(text.replace(SECRET, "${SECRET}"), SECRET=SECRET).warnings == []


def test_the_environment_of_the_process_is_the_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCD_TEST_DIR", str(place.root / "site"))
    folder = '{"dir": "${SYNCD_TEST_DIR}", "secret_file": "site.secret"}'
    path = place.write(f'{{"storage_path": "s", "shared_folders": [{folder}]}}')
    assert load(str(path)).settings.folders[0].dir == str(place.root / "site")


def test_settings_do_not_show_secrets(place: Place) -> None:
    shown = repr(place.load(f'{{"storage_path": "s", "shared_folders": [{{"dir": "site", "secret": "{SECRET}"}}]}}'))
    assert SECRET[12:] not in shown
    assert parse_secret(SECRET).psk.hex() not in shown


VERSION_1 = "A7BUSFHTZ2SG4HQKSQPI7VIWOZ7ND2KIW"


@pytest.mark.parametrize("from_file", [False, True])
def test_a_read_write_secret_of_bittorrent_sync_is_taken_with_one_warning(place: Place, from_file: bool) -> None:
    place.secret("old.secret", VERSION_1)
    given = '"secret_file": "old.secret"' if from_file else f'"secret": "{VERSION_1}"'
    text = f'{{"storage_path": "state", "shared_folders": [{{"dir": "site", {given}}}]}}'
    place.write(text)
    place.config.chmod(0o600)
    loaded = place.load(text)
    apart, warning = loaded.warnings
    assert apart == f"{place.config}: {APART}"
    assert "160 bits; make one of 256 with `syncd generate-secret`" in warning
    assert VERSION_1 not in warning
    assert loaded.settings.folders[0].keys.tier is Tier.READ_WRITE


def test_old_secrets_are_not_shown() -> None:
    assert without_secrets(f"no folder {VERSION_1}, nor /x/{VERSION_1}") == "no folder A..., nor /x/A..."
