#!/bin/sh
# start-primary.sh --name NAME --config DIR --content DIR --agent HOST:PORT --address ADDRESS [OPTION...] [-- ENGINE-OPTION...]
#
# Starts a container of the site on the host that keeps wp-content, which the container copies at its first start.
#
#   --name NAME         of the container and of the node
#   --config DIR        sync.json, its secret, wordpress/ and tunnel/; mounted read-only
#   --content DIR       the wp-content that this host keeps; mounted read-only, changes come back over the agent
#   --agent HOST:PORT   the syncd of this host, as the container reaches it
#   --balancer HOST:PORT  the syncd beside the balancer, which gives this node visitors; without it there is none
#   --address ADDRESS   of this host on the private network where the balancer is; never a public one
#   --port PORT         of the site at that address: 8080; PORT + 305 is syncd's health, PORT + 306 its agent-check
#   --db-ssh USER@HOST  where the SSH tunnel to the database goes; without it there is none
#   --image IMAGE       site
#   --network NETWORK   of the engine; else $NETWORK
#
# What follows -- goes to docker or podman as it is. ENGINE names the program.
set -eu
. "$(dirname "$0")/node.sh"
find_engine
read_options "$@"
[ -n "$content" ] || { status=64; die "--content DIR is missing: the wp-content that this host keeps"; }
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -eq 0 ] || shift
start_node primary "$@"
