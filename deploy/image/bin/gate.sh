#!/bin/bash
# Opens the site when this node is ready, once: afterwards only the page itself takes the node out. Stops before all
# others, so that the balancer hears of it and sends no more requests while the others finish.
set -u
open=/run/site/open
pause=${DRAIN_SECONDS:-3} # two intervals of the balancer, and a bit

leave() {
    syncd drain >/dev/null 2>&1
    sleep "$pause" &
    wait $!
    exit 0
}
trap leave TERM INT

while [ ! -e "$open" ]; do
    syncd wait >/dev/null 2>&1 &
    if wait $!; then
        touch "$open"
        echo "gate: ready, the site is open"
    else
        sleep 1 &
        wait $!
    fi
done
sleep infinity &
wait $!
