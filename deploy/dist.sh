#!/bin/sh
# Builds one archive that installs syncd without a network, on machines with this Python version and architecture:
#
#   tar xzf syncd-*.tar.gz && sudo syncd-*/install.sh
#
# In a Dockerfile: ADD dist/syncd-*.tar.gz /tmp/ and RUN SYNCD_INSTALL_USER=none BINDIR=/usr/local/bin /tmp/syncd-*/install.sh
#
#   DIST    where the archive goes: dist/ of the source tree
#   PYTHON  the interpreter to build with, and so the version to install with
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
. "$here/python.sh"
top=$(cd "$here/.." && pwd)
DIST=${DIST:-$top/dist}
find_python

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/source"
(cd "$top" && cp -R pyproject.toml README.md LICENSE protocol syncd "$work/source")
"$python" -m venv "$work/venv" || die "$python cannot make virtual environments; on Debian: apt install python3-venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check wheel --quiet --wheel-dir "$work/wheels" "$work/source"

version=$("$work/venv/bin/python" -c '
import pathlib, sys
name, version, *_ = next(pathlib.Path(sys.argv[1]).glob("syncd-*.whl")).stem.split("-")
print(version)' "$work/wheels")
tag=$("$python" -c 'import sys, sysconfig
print("cp%d%d-%s" % (*sys.version_info[:2], sysconfig.get_platform().replace("-", "_").replace(".", "_")))')
name=syncd-$version
mkdir "$work/$name"
mv "$work/wheels" "$work/$name/wheels"
"$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$work/$name/python-version"
for file in install.sh uninstall.sh python.sh syncd.service syncd@.service syncd.1; do
    cp "$here/$file" "$work/$name/"
done
cp "$top/README.md" "$top/LICENSE" "$top/config.example.json" "$work/$name/"

mkdir -p "$DIST"
archive=$DIST/$name-$tag.tar.gz
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(date +%s)}" \
    -C "$work" -czf "$archive.new" "$name"
mv "$archive.new" "$archive"
echo "$archive"
