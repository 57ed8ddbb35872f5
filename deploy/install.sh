#!/bin/sh
# Installs syncd, or upgrades it. From a source tree the packages it needs come from the package index, from an
# unpacked archive of `make dist` they come with it and no network is used.
#
#   PREFIX              where it goes: /opt/syncd
#   SYNCD_INSTALL_USER  the user that the service runs as, who owns the files: www-data. none: nothing but PREFIX is
#                       written, and no root is needed; the next four are then empty unless they are set
#   BINDIR              gets a link to the command: /usr/local/bin
#   MANDIR              gets the manual page, in man1: /usr/local/share/man
#   UNITDIR             gets the systemd unit: /etc/systemd/system
#   CONFDIR             is made for configurations: /etc/syncd
#   PYTHON              the interpreter to use
#
# A new version is built beside the old one and takes its place when it works. The one before is kept.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
. "$here/python.sh"

PREFIX=${PREFIX:-/opt/syncd}
user=${SYNCD_INSTALL_USER:-www-data}
if [ "$user" != none ]; then
    BINDIR=${BINDIR-/usr/local/bin} MANDIR=${MANDIR-/usr/local/share/man} UNITDIR=${UNITDIR-/etc/systemd/system} CONFDIR=${CONFDIR-/etc/syncd}
    [ "$(id -u)" = 0 ] ||
        die 'run this as root, or for one user only: make install SYNCD_INSTALL_USER=none PREFIX="$HOME/syncd"'
fi
case $PREFIX in
    /?*) ;;
    *) die "PREFIX must be an absolute path, not '$PREFIX'" ;;
esac

wanted=
[ ! -d "$here/wheels" ] || wanted=$(cat "$here/python-version")
find_python "$wanted"

mkdir -p "$PREFIX/versions" "$PREFIX/bin"
new=$PREFIX/versions/$(date -u +%Y%m%dT%H%M%SZ)-$$
source=
trap 'rm -rf "$new" ${source:+"$source"}' EXIT
trap 'exit 1' HUP INT TERM
"$python" -m venv "$new" || die "$python cannot make virtual environments; on Debian: apt install python3-venv"
if [ -n "$wanted" ]; then
    "$new/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --find-links "$here/wheels" syncd
else
    # a build writes into its source, where root's files would be in the way later
    source=$(mktemp -d)
    (cd "$here/.." && cp -R pyproject.toml README.md LICENSE protocol syncd "$source")
    "$new/bin/python" -m pip --disable-pip-version-check install --quiet "$source"
    rm -rf "$source"
fi
version=$("$new/bin/syncd" version)

previous=$(readlink "$PREFIX/current" || true)
replace() { # link target name: the name never stops to exist
    ln -s "$1" "$2.new.$$"
    "$python" -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$2.new.$$" "$2"
}
replace "versions/${new##*/}" "$PREFIX/current"
replace ../current/bin/syncd "$PREFIX/bin/syncd"
trap - EXIT
for old in "$PREFIX"/versions/*; do
    [ "$old" = "$new" ] || [ "$old" = "$PREFIX/$previous" ] || rm -rf "$old"
done

if [ -n "${BINDIR:-}" ]; then
    mkdir -p "$BINDIR"
    replace "$PREFIX/bin/syncd" "$BINDIR/syncd"
fi
if [ -n "${MANDIR:-}" ]; then
    mkdir -p "$MANDIR/man1"
    cp "$here/syncd.1" "$MANDIR/man1/syncd.1"
fi
if [ "$user" != none ] && ! id "$user" >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/syncd --no-create-home --shell /usr/sbin/nologin "$user"
fi
if [ -n "${CONFDIR:-}" ]; then
    mkdir -p "$CONFDIR"
    if [ "$user" != none ]; then
        chgrp "$(id -gn "$user")" "$CONFDIR"
        chmod 2750 "$CONFDIR" # what root makes there is for the service to read
    fi
fi
if [ -n "${UNITDIR:-}" ]; then
    mkdir -p "$UNITDIR"
    name=$user
    [ "$name" != none ] || name=$(id -un)
    for unit in syncd.service syncd@.service; do
        sed -e "s|/opt/syncd|$PREFIX|g" -e "s|/etc/syncd|${CONFDIR:-/etc/syncd}|g" -e "s|^User=.*|User=$name|" \
            "$here/$unit" >"$UNITDIR/$unit"
    done
fi
if [ "$user" != none ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart syncd.service 'syncd@*.service'
fi

echo "installed $version in $PREFIX${BINDIR:+, the command is $BINDIR/syncd}"
if [ -n "${CONFDIR:-}" ] && [ ! -e "$CONFDIR/sync.json" ]; then
    echo "next: syncd init --config $CONFDIR/sync.json --dir DIR && systemctl enable --now syncd"
fi
