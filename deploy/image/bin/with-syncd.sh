#!/bin/bash
# with-syncd COMMAND...: runs syncd beside a web server in a container that has no supervisor. The command starts when
# the node is ready; it stops first, and syncd last. The exit code is that of the command, or 75 if syncd says so.
#
#   SYNCD_CONFIG    /etc/syncd/sync.json
#   DRAIN_SECONDS   between the announcement and the end of the command: 3, two intervals of the balancer and a bit
set -u
export SYNCD_CONFIG=${SYNCD_CONFIG:-/etc/syncd/sync.json}
[ $# -gt 0 ] || { echo "with-syncd: which command?" >&2; exit 64; }
place=/run/syncd
install -d -m 0700 -o www-data -g www-data "$place"
install -m 0400 -o www-data -g www-data "$SYNCD_CONFIG" "$place/sync.json" || exit 78
# a secret that is mounted belongs to somebody of the host
if [ -f /run/secrets/wp.secret ]; then
    install -m 0400 -o www-data -g www-data /run/secrets/wp.secret "$place/wp.secret"
fi
export SYNCD_CONFIG=$place/sync.json
as_user=(setpriv --reuid www-data --regid www-data --init-groups)

"${as_user[@]}" syncd &
node=$!
command=
ending=
end() {
    ending=yes
    [ -z "$command" ] || { syncd drain >/dev/null 2>&1; sleep "${DRAIN_SECONDS:-3}"; kill -TERM "$command" 2>/dev/null; }
    [ -n "$command" ] || kill -TERM "$node" 2>/dev/null
}
trap end TERM INT
trap 'kill -HUP "$node"' HUP

# Waits for one process, however often a signal ends the wait.
await() {
    while :; do
        wait "$1"
        code=$?
        kill -0 "$1" 2>/dev/null || return "$code"
    done
}

while [ -z "$ending" ]; do
    "${as_user[@]}" syncd wait >/dev/null 2>&1 &
    wait $! && break
    kill -0 "$node" 2>/dev/null || break
    sleep 1
done
code=0
if [ -z "$ending" ] && kill -0 "$node" 2>/dev/null; then
    "$@" &
    command=$!
    await "$command"
    code=$?
fi
kill -TERM "$node" 2>/dev/null
await "$node"
last=$?
[ "$last" = 0 ] || [ "$last" = 143 ] || { echo "with-syncd: syncd ended with $last" >&2; code=$last; }
exit "$code"
