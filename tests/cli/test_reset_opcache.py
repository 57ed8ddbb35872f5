"""deploy/hooks/reset-opcache against a stand-in for cgi-fcgi that says what it was asked."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY

HOOK = REPOSITORY / "deploy/hooks/reset-opcache"
CGI_FCGI = """#!/bin/sh
{ echo "$@"; echo "$REQUEST_METHOD $SCRIPT_FILENAME"; stat -c %a "$SCRIPT_FILENAME" "$(dirname "$SCRIPT_FILENAME")"
  cat "$SCRIPT_FILENAME"; } >"$ASKED"
printf 'Content-type: text/html\\r\\n\\r\\n%s' "$PHP_SAYS"
"""


def run(base: Path, says: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The hook, with a cgi-fcgi that has PHP say `says`."""
    program = base / "bin/cgi-fcgi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(CGI_FCGI)
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin", "TMPDIR": str(base), "ASKED": str(base / "asked"), "PHP_SAYS": says,
    }  # fmt: skip
    return subprocess.run([HOOK, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=60)


def test_php_runs_a_script_that_nobody_else_finds(tmp_path: Path) -> None:
    done = run(tmp_path, "reset", "127.0.0.1:9000")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    asked, request, mode, mode_above, script = (tmp_path / "asked").read_text().split("\n")
    assert asked == "-bind -connect 127.0.0.1:9000"
    method, path = request.split()
    assert (method, mode, mode_above) == ("GET", "644", "755")
    assert Path(path).parent.parent == tmp_path
    assert not Path(path).parent.exists()
    assert script == '<?php echo function_exists("opcache_reset") && opcache_reset() ? "reset" : "off";'


@pytest.mark.parametrize(
    ("says", "code", "out", "err"),
    [
        ("off", 0, "opcache is off in this PHP", ""),
        ("File not found.", 1, "", "php-fpm at 127.0.0.1:9000 answered: Content-type"),
        ("", 1, "", "php-fpm at 127.0.0.1:9000 answered:"),
    ],
)
def test_what_php_says_is_told(tmp_path: Path, says: str, code: int, out: str, err: str) -> None:
    done = run(tmp_path, says, "127.0.0.1:9000")
    assert done.returncode == code
    assert done.stdout.startswith(out)
    assert done.stderr.startswith(err)


def test_a_call_without_an_address_is_a_usage_error(tmp_path: Path) -> None:
    done = run(tmp_path, "reset")
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert done.stderr.startswith("usage: reset-opcache")
