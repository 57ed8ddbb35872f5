#!/bin/bash
# Keeps an SSH tunnel to the database. One line when it comes up and one when it cannot, not one per attempt.
#
#   DB_SSH   user@host[:port]
#   DB_FAR   what it leads to there: 127.0.0.1:3306
set -u
target=${DB_SSH%:*}
port=22
case $DB_SSH in *:*) port=${DB_SSH##*:} ;; esac
errors=$(mktemp /run/tunnel/errors.XXXXXX)
last=
child=
trap '[ -z "$child" ] || kill "$child"; exit 0' TERM INT

while :; do
    rm -f /run/tunnel/up
    ssh -N -T -i /run/tunnel/key -p "$port" -F none \
        -o IdentitiesOnly=yes -o BatchMode=yes -o ExitOnForwardFailure=yes -o ConnectTimeout=5 \
        -o ServerAliveInterval=2 -o ServerAliveCountMax=3 \
        -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/run/tunnel/known_hosts \
        -o PermitLocalCommand=yes -o LocalCommand='touch /run/tunnel/up; echo "tunnel: up"' \
        -L "127.0.0.1:3306:${DB_FAR:-127.0.0.1:3306}" "$target" 2>"$errors" &
    child=$!
    wait "$child"
    # a tunnel that was up may say the same thing again
    [ ! -e /run/tunnel/up ] || last=
    reason=$(grep -v '^Warning' "$errors" | tail -n 1 | tr -d '\r')
    [ "$reason" = "$last" ] || echo "tunnel: no way to the database at $DB_SSH: ${reason:-ended}; trying every 2 s" >&2
    last=$reason
    sleep 2 &
    child=$!
    wait "$child"
done
