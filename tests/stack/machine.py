"""What the stack needs of the machine: root, and programs that are installed where this may be done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# program: Debian package
PROGRAMS = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "haproxy": "haproxy",
    "mmdebstrap": "mmdebstrap",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
    "systemd-nspawn": "systemd-container",
}
INSTALL_DEADLINE = 600.0  # seconds


def missing() -> list[str]:
    """Packages whose programs are not here."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]


def prepare() -> str | None:
    """Install what is missing. What keeps the stack from running here, in one line, or None."""
    if os.geteuid():
        return "needs root: it starts a Docker engine and networks of its own"
    if not Path("/etc/debian_version").exists() and (lacking := missing()):
        return f"needs {', '.join(lacking)}"
    if lacking := missing():
        print(f"installing {', '.join(lacking)}", file=sys.stderr, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *lacking]
        for command in (["apt-get", "update", "-qq"], install):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_DEADLINE
            )
            if done.returncode:
                return f"needs {', '.join(lacking)}, which could not be installed: {done.stderr.strip()[-300:]}"
    return f"needs {', '.join(lacking)}" if (lacking := missing()) else None
