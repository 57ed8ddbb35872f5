#!/bin/sh
# Removes what install.sh installed; takes the same variables. Configuration, state and the user stay.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/python.sh"

PREFIX=${PREFIX:-/opt/syncd}
user=${SYNCD_INSTALL_USER:-syncd}
if [ "$user" != none ]; then
    BINDIR=${BINDIR-/usr/local/bin} MANDIR=${MANDIR-/usr/local/share/man} UNITDIR=${UNITDIR-/etc/systemd/system} CONFDIR=${CONFDIR-/etc/syncd}
    [ "$(id -u)" = 0 ] || die "run this as root, or with the SYNCD_INSTALL_USER and PREFIX of the installation"
fi
case $PREFIX in
    /?*) ;;
    *) die "PREFIX must be an absolute path, not '$PREFIX'" ;;
esac

if [ -n "${UNITDIR:-}" ] && [ -e "$UNITDIR/syncd.service" ]; then
    if [ "$user" != none ] && [ -d /run/systemd/system ]; then
        systemctl disable --now syncd.service 'syncd@*.service'
    fi
    rm -f "$UNITDIR/syncd.service" "$UNITDIR/syncd@.service"
    if [ "$user" != none ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
fi
if [ -n "${BINDIR:-}" ] && [ "$(readlink "$BINDIR/syncd" || true)" = "$PREFIX/bin/syncd" ]; then
    rm -f "$BINDIR/syncd"
fi
[ -z "${MANDIR:-}" ] || rm -f "$MANDIR/man1/syncd.1"
rm -rf "$PREFIX/versions" "$PREFIX/current" "$PREFIX/bin/syncd"
for directory in "$PREFIX/bin" "$PREFIX"; do
    [ ! -d "$directory" ] || rmdir --ignore-fail-on-non-empty "$directory"
done
echo "removed syncd from $PREFIX; configuration${CONFDIR:+ ($CONFDIR)}, state and secrets are still there"
