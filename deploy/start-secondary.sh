#!/bin/sh
# start-secondary.sh --name NAME --config DIR --agent HOST:PORT --address ADDRESS [OPTION...] [-- ENGINE-OPTION...]
#
# Starts a container of the site on a host that keeps nothing: it begins empty and takes the themes first.
#
#   --name NAME         of the container and of the node
#   --config DIR        sync.json, its secret, wordpress/ and tunnel/; mounted read-only
#   --agent HOST:PORT   the syncd of a host that keeps a copy
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
[ -z "$content" ] || { status=64; die "--content is for the primary: a secondary takes everything from its peers"; }
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -eq 0 ] || shift
start_node secondary "$@"
