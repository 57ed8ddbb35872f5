#!/bin/sh
# upgrade.sh NODE [IMAGE]
#
# Replaces a container of the site by one of another image, or of the same one built anew: drains it, stops it, starts
# its successor in the same way, and waits until that is ready. If it does not come up the old one is started again.
#
#   READY_SECONDS   how long the new one may take: 300
#
# Exit status: 0 replaced; 1 the old one runs again; 75 files of the old one reached no other node, and it runs again.
set -eu
. "$(dirname "$0")/node.sh"
find_engine
[ $# -ge 1 ] && [ $# -le 2 ] || usage
case $1 in -*) usage ;; esac
name=$1
say() { echo "upgrade: $*"; }
label() { "$engine" inspect --type container --format "{{index .Config.Labels \"syncd.$1\"}}" "$name"; }
inside() { "$engine" exec --user www-data "$name" "$@"; }

"$engine" inspect --type container "$name" >/dev/null 2>&1 || die "there is no container $name"
role=$(label role)
[ -n "$role" ] || die "$name was not started by start-primary.sh or start-secondary.sh"
config=$(label config) agent=$(label agent) balancer=$(label balancer) content=$(label content)
address=$(label address) port=$(label port) network=$(label network) db_ssh=$(label db-ssh) extra=$(label extra)
image=${2:-$(label image)}
"$engine" image inspect "$image" >/dev/null 2>&1 || die "there is no image $image"
old=$name-old
! "$engine" inspect --type container "$old" >/dev/null 2>&1 ||
    die "there is a container $old, left by an upgrade that was interrupted; look at it, then remove it or rename it to $name"

back() {
    "$engine" rm --force "$name" >/dev/null 2>&1 || true
    "$engine" rename "$old" "$name"
    "$engine" start "$name" >/dev/null
    say "$name runs again as it was"
}

say "$name drains and stops"
"$engine" stop --time "$STOP_TIMEOUT" "$name" >/dev/null
code=$("$engine" inspect --type container --format '{{.State.ExitCode}}' "$name")
"$engine" rename "$name" "$old"
if [ "$code" = 75 ]; then
    "$engine" logs --tail 20 "$old" 2>&1 | grep -i 'reached' | tail -n 3 >&2 || true
    back
    status=75
    die "files of $name reached no other node, so it was not replaced: see the lines above, and \`syncd peers\` inside"
fi

trap 'back; exit 1' HUP INT TERM
eval "set -- $extra"
if ! start_node "$role" "$@" >/dev/null; then
    back
    die "the new container did not start"
fi
say "$name starts with $image"
begun=$(date +%s)
until inside sh -c 'test -e /run/site/open && curl -fsS -o /dev/null http://127.0.0.1:8080/wp-login.php' 2>/dev/null; do
    if [ $(($(date +%s) - begun)) -ge "${READY_SECONDS:-300}" ]; then
        "$engine" logs --tail 20 "$name" >&2 || true
        inside syncd status >&2 || true
        back
        die "the new container was not ready after ${READY_SECONDS:-300} s; its last lines are above"
    fi
    sleep 1
done
trap - HUP INT TERM
"$engine" rm "$old" >/dev/null
say "$name is ready after $(($(date +%s) - begun)) s"
