#!/bin/bash
# Registers the site of this container with the Consul agent of its host when the node is ready, and takes it out before
# it stops. In between only the page counts: a syncd that is stopped or upgraded takes no site down.
#
#   CONSUL    http://host:port of the agent: http://127.0.0.1:8500
#   SERVICE   host:port where the balancer reaches the page, as for the start scripts
#   NAME      of the service: site
#   CONSUL_HTTP_TOKEN_FILE   a file with the token, if the agent asks for one
set -u
consul=${CONSUL:-http://127.0.0.1:8500}
name=${NAME:-site}
host=${SERVICE%:*} port=${SERVICE##*:}
id=$name-$(hostname)
header=()
[ -z "${CONSUL_HTTP_TOKEN_FILE:-}" ] || header=(-H "X-Consul-Token: $(cat "$CONSUL_HTTP_TOKEN_FILE")")
ask() { curl -fsS -m 5 -o /dev/null -X PUT "${header[@]}" "$@"; }

leave() {
    kill $! 2>/dev/null
    ask "$consul/v1/agent/service/deregister/$id" || echo "consul: $id is still registered: $consul does not answer" >&2
    exit 0
}
trap leave TERM INT

ready() { # in the background, since a signal has to wait for whatever is in front
    syncd wait >/dev/null 2>&1 &
    wait $!
}
until ready; do
    sleep 1 &
    wait $!
done
until ask "$consul/v1/agent/service/register?replace-existing-checks=true" --data-binary @- <<JSON; do
{
  "ID": "$id", "Name": "$name", "Address": "$host", "Port": $port,
  "Check": {"HTTP": "http://$host:$port/", "Interval": "2s", "Timeout": "2s", "Status": "passing",
            "DeregisterCriticalServiceAfter": "10m"}
}
JSON
    echo "consul: cannot register $id at $consul; tried again in 5 s" >&2
    sleep 5 &
    wait $!
done
echo "consul: $id is registered"
sleep infinity &
wait $!
