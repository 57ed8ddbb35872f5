#!/bin/bash
# syncd, with its last exit code kept for the container's: 75 says that files reached no other node. It starts when a
# primary has its seed: half of it would be told to the others as all that there is.
set -u
until [ -e /run/site/seeded ]; do sleep 0.1; done
/usr/local/bin/syncd &
pid=$!
trap 'kill -TERM "$pid"' TERM INT
trap 'kill -HUP "$pid"' HUP
while :; do
    wait "$pid"
    code=$?
    kill -0 "$pid" 2>/dev/null || break # else a signal ended the wait, not syncd
done
echo "$code" >/run/site/syncd-exit
exit "$code"
