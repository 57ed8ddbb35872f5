"""What editors do in WordPress, through the pages and endpoints that its own screens use."""

import io
import json
import re
import struct
import zipfile
import zlib

from tests.stack.browser import Answer, Browser


class WordPressRefused(Exception):
    """WordPress did not do it; the message has the beginning of its answer."""


def log_in(browser: Browser, user: str, password: str) -> None:
    """Raises WordPressRefused."""
    browser.get("/wp-login.php")  # sets the test cookie
    fields = {"log": user, "pwd": password, "wp-submit": "Log In", "testcookie": "1", "redirect_to": "/wp-admin/"}
    answer = browser.post("/wp-login.php", fields)
    if answer.status != 302:
        raise _refused("login", answer)


def logged_in(browser: Browser) -> bool:
    """Whether the dashboard opens without asking for a password."""
    return browser.get("/wp-admin/profile.php").status == 200


def nonce_of_uploads(browser: Browser) -> str:
    """What an upload of this editor needs; good for hours. Raises WordPressRefused."""
    answer = browser.get("/wp-admin/media-new.php")
    found = re.search(r'"_wpnonce":"([0-9a-f]{10})"', answer.text)
    if found is None:
        raise _refused("the page for uploads", answer)
    return found[1]


def upload(browser: Browser, name: str, content: bytes, nonce: str | None = None) -> str:
    """Upload a picture as the media screen does; its path on the site. Raises WordPressRefused."""
    fields = {"name": name, "action": "upload-attachment", "_wpnonce": nonce or nonce_of_uploads(browser)}
    answer = browser.post_file("/wp-admin/async-upload.php", fields, "async-upload", name, "image/png", content)
    try:
        url = json.loads(answer.body)["data"]["url"]
    except (ValueError, KeyError, TypeError):
        raise _refused(f"upload of {name}", answer) from None
    return "/" + str(url).split("/", 3)[3]


def switch_theme(browser: Browser, stylesheet: str) -> None:
    """Follow the "Activate" link of Appearance > Themes. Raises WordPressRefused."""
    answer = browser.get("/wp-admin/themes.php")
    amp = r"(?:&amp;|&#038;|&|\\u0026)"
    found = re.search(
        rf"themes\.php\?action=activate{amp}stylesheet={stylesheet}{amp}_wpnonce=([0-9a-f]+)", answer.text
    )
    if found is None:
        raise _refused(f"themes without {stylesheet}", answer)
    done = browser.get(f"/wp-admin/themes.php?action=activate&stylesheet={stylesheet}&_wpnonce={found[1]}")
    if done.status != 302:
        raise _refused("activation", done)


def install_plugin(browser: Browser, archive: bytes, name: str) -> None:
    """Plugins > Add New > Upload Plugin; replaces the one that is there. Raises WordPressRefused."""
    page = browser.get("/wp-admin/plugin-install.php?tab=upload")
    found = re.search(r'name="_wpnonce" value="([0-9a-f]{10})"', page.text)
    if found is None:
        raise _refused("the page for plugins", page)
    fields = {"_wpnonce": found[1], "_wp_http_referer": "/wp-admin/plugin-install.php", "install-plugin-submit": "1"}
    path = "/wp-admin/update.php?action=upload-plugin"
    answer = browser.post_file(path, fields, "pluginzip", f"{name}.zip", "application/zip", archive)
    if "Plugin installed successfully" in answer.text:
        return
    again = re.search(r'href="([^"]*action=upload-plugin[^"]*overwrite=update-plugin[^"]*)"', answer.text)
    if again is None:
        raise _refused(f"installation of {name}", answer)
    link = again[1].replace("&amp;", "&").replace("&#038;", "&")
    done = browser.get(link if link.startswith("/") else f"/wp-admin/{link.rpartition('/')[2]}")
    if "Plugin updated successfully" not in done.text:
        raise _refused(f"update of {name}", done)


def activate_plugin(browser: Browser, file: str) -> None:
    """Follow the "Activate" link of the list of plugins. Raises WordPressRefused."""
    page = browser.get("/wp-admin/plugins.php")
    quoted = re.escape(file.replace("/", "%2F"))
    found = re.search(rf"plugins\.php\?action=activate&amp;plugin={quoted}[^\"]*_wpnonce=([0-9a-f]+)", page.text)
    if found is None:
        raise _refused(f"plugins without {file}", page)
    browser.get(f"/wp-admin/plugins.php?action=activate&plugin={file.replace('/', '%2F')}&_wpnonce={found[1]}")


def plugin_archive(name: str, version: str, files: int = 40) -> bytes:
    """A plugin whose page shows its version, and whether all its files are of that version."""
    main = f"""<?php
/* Plugin Name: {name}
   Version: {version} */
add_action('wp_footer', function () {{
    $parts = [];
    foreach (range(1, {files}) as $n) {{ $parts[] = (int) @include __DIR__ . "/part-$n.php"; }}
    echo '<!-- {name} {version} ' . implode(',', array_unique($parts)) . ' -->';
}});
"""
    number = int(version.replace(".", ""))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/{name}.php", main)
        for part in range(1, files + 1):
            archive.writestr(f"{name}/part-{part}.php", f"<?php return {number}; // {'x' * 2_000}\n")
    return held.getvalue()


def picture(seed: int, width: int = 60, height: int = 40) -> bytes:
    """A small PNG, another one for every seed."""
    rows = b"".join(
        b"\0" + bytes((x * 7 + y * 5 + seed * (c + 3)) % 256 for x in range(width) for c in range(3))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    comment = chunk(b"tEXt", b"Comment\0" + str(seed).encode())
    body = chunk(b"IHDR", header) + comment + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _refused(what: str, answer: Answer) -> WordPressRefused:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))[:400]
    return WordPressRefused(f"{what}: {answer.status} {answer.headers.get('Location', '')} {text}")
