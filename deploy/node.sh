# Sourced by start-primary.sh, start-secondary.sh and upgrade.sh: how a container of the site is made.

STOP_TIMEOUT=90 # seconds; more than what supervisord gives its programs together

die() {
    echo "${0##*/}: $*" >&2
    exit "${status:-1}"
}

# Sets $engine: $ENGINE, else docker, else podman.
find_engine() {
    for engine in ${ENGINE:-docker podman}; do
        command -v "$engine" >/dev/null 2>&1 && return 0
    done
    die "neither docker nor podman is here; name one with ENGINE=/path/to/docker"
}

# The usage line, out of the head of the script.
usage() {
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 64
}

# Reads the options that both start scripts take into variables, and refuses what cannot work.
read_options() {
    name="" image=site config="" agent="" balancer="" content="" address="" network=${NETWORK:-} port=8080
    status=64
    while [ $# -gt 0 ]; do
        case $1 in
            --name | --image | --config | --agent | --balancer | --content | --address | --network | --port | --db-ssh)
                [ $# -ge 2 ] || die "$1 needs a value"
                case $1 in
                    --name) name=$2 ;;
                    --image) image=$2 ;;
                    --config) config=$2 ;;
                    --agent) agent=$2 ;;
                    --balancer) balancer=$2 ;;
                    --content) content=$2 ;;
                    --address) address=$2 ;;
                    --network) network=$2 ;;
                    --port) port=$2 ;;
                    --db-ssh) db_ssh=$2 ;;
                esac
                shift 2
                ;;
            --) shift; break ;;
            *) usage ;;
        esac
    done
    [ -n "$name" ] || die "--name NAME is missing: the container's and the node's name"
    [ -n "$config" ] || die "--config DIR is missing: the directory with sync.json, the secret and wordpress/"
    [ -d "$config" ] || die "--config $config: there is no such directory"
    [ -n "$agent" ] || die "--agent HOST:PORT is missing: the syncd of a host that keeps a copy"
    [ -z "$content" ] || [ -d "$content" ] || die "--content $content: there is no such directory"
    [ -n "$address" ] || die "--address ADDRESS is missing: where the balancer reaches this host, on a private network"
    status=1
}

# start_node ROLE [OPTION of the engine ...]: runs the container that read_options describes.
# No port of syncd is published: the node dials the agent. What is published is for the balancer, on its network only.
start_node() {
    role=$1
    shift
    ! "$engine" inspect --type container "$name" >/dev/null 2>&1 ||
        die "there is a container $name already; to replace it: upgrade.sh $name"
    "$engine" run --detach --name "$name" --hostname "$name" --restart unless-stopped --stop-timeout "$STOP_TIMEOUT" \
        --security-opt no-new-privileges --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
        --cap-add SETUID --cap-add SETGID --cap-add KILL \
        --env ROLE="$role" --env AGENT="$agent" --env DB_SSH="${db_ssh:-}" \
        --env BALANCER="$balancer" --env SERVICE="$address:$port" \
        --volume "$(realpath "$config"):/config:ro" ${content:+--volume "$(realpath "$content"):/seed:ro"} \
        --publish "$address:$port:8080" --publish "$address:$((port + 306)):8386" --publish "$address:$((port + 305)):8385" \
        ${network:+--network "$network"} \
        --label syncd.role="$role" --label syncd.config="$config" --label syncd.agent="$agent" \
        --label syncd.balancer="$balancer" \
        --label syncd.content="$content" --label syncd.address="$address" --label syncd.port="$port" \
        --label syncd.network="$network" --label syncd.db-ssh="${db_ssh:-}" --label syncd.image="$image" \
        --label syncd.extra="$(quoted "$@")" "$@" "$image" >/dev/null
    tries=0
    until "$engine" exec "$name" test -e /run/site/placed 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || [ "$("$engine" inspect --format '{{.State.Running}}' "$name")" != true ]; then
            "$engine" logs --tail 5 "$name" >&2
            echo "${0##*/}: $name did not begin; its last lines are above" >&2
            return 1
        fi
        sleep 0.2
    done
    echo "$name runs as $role; when it is ready: $engine exec $name syncd wait"
}

# The arguments as one text that `eval "set -- TEXT"` takes apart again.
quoted() {
    for argument in "$@"; do
        printf "'%s' " "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"
    done
}
