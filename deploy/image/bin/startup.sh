#!/bin/bash
# Brings the mounted configuration into place as root, then runs supervisord, whose programs do not run as root.
#
#   /config   mounted read-only: sync.json, *.secret, wordpress/NAME, tunnel/key, tunnel/known_hosts, nginx/*.conf
#   /seed     on a primary, mounted read-only: the wp-content that the host keeps
#   ROLE      primary or secondary
#   AGENT     host:port of the syncd that this node dials, for sync.json
#   DB_SSH    user@host[:port] that the tunnel goes to; without it there is no tunnel
set -euo pipefail
umask 077

config=${CONFIG_DIR:-/config}
seed=${SEED_DIR:-/seed}
content=/var/www/html/wp-content

say() { echo "startup: $*" >&2; }
# copies SOURCE to TARGET, for USER alone
place() {
    install -m 0400 -o "$3" -g "$3" "$1" "$2" || { say "cannot read $1: it has to be readable by root of the host"; exit 77; }
}
program() { ln -s "/etc/supervisor/programs/$1.conf" /run/supervisor/; }

case ${ROLE:=secondary} in
    primary | secondary) ;;
    *) say "ROLE is primary or secondary, not '$ROLE'"; exit 64 ;;
esac

rm -rf /run/supervisor /run/supervisor.sock /run/syncd /run/wordpress /run/tunnel /run/nginx /run/php /run/site
install -d -m 0700 /run/supervisor
install -d -m 0700 -o www-data -g www-data /run/syncd /run/wordpress /run/nginx /run/nginx/site.d /run/php /run/site
install -d -m 0700 -o www-data -g www-data /var/lib/syncd
install -d -m 0700 -o tunnel -g tunnel /run/tunnel
shopt -s nullglob

for file in "$config"/wordpress/*; do
    place "$file" "/run/wordpress/${file##*/}" www-data
done
for file in "$config"/nginx/*.conf; do
    place "$file" "/run/nginx/site.d/${file##*/}" www-data
done
program php
program nginx

if [ -n "${DB_SSH:-}" ]; then
    if [ -f "$config/tunnel/key" ] && [ -f "$config/tunnel/known_hosts" ]; then
        place "$config/tunnel/key" /run/tunnel/key tunnel
        place "$config/tunnel/known_hosts" /run/tunnel/known_hosts tunnel
        program tunnel
    else
        say "no tunnel to the database: $config/tunnel needs the files key and known_hosts; files are synced all the same"
    fi
fi

if [ -f "$config/sync.json" ]; then
    place "$config/sync.json" /run/syncd/sync.json www-data
    for file in "$config"/*.secret; do
        place "$file" "/run/syncd/${file##*/}" www-data
    done
    program syncd
    program gate
    for file in /etc/supervisor/extra/*.conf; do # of an image that is made from this one
        ln -s "$file" /run/supervisor/
    done
else
    say "no $config/sync.json: mount the directory with the configuration there; until then the site answers 503"
fi
touch /run/site/placed # the start script waits for it

# Copies the seed. Nothing is in place half: what a stop interrupts begins again at the next start.
seed_content() {
    local from=$seed staging=$content/.seed entry
    [ -d "$seed" ] && [ -n "$(find "$seed" -mindepth 1 -maxdepth 1 ! -name .syncd -print -quit)" ] || from=/usr/src/wp-content
    say "seeding wp-content from $from"
    rm -rf "$staging"
    mkdir -m 0755 "$staging"
    find "$from" -mindepth 1 -maxdepth 1 ! -name .syncd -exec cp -a -t "$staging" {} +
    chown -hR www-data:www-data "$staging"
    shopt -s dotglob
    for entry in "$staging"/*; do
        rm -rf "${content:?}/${entry##*/}"
        mv -T "$entry" "$content/${entry##*/}"
    done
    rmdir "$staging"
    install -m 0600 -o www-data -g www-data /dev/null /var/lib/syncd/seeded
}

# Sets $code to how a child ended, however often a signal ends the wait.
await() {
    while :; do
        code=0
        wait "$1" || code=$?
        kill -0 "$1" 2>/dev/null || break
    done
}

# The other programs start while the seed is copied; syncd waits for it, and the site stays closed until syncd is ready.
umask 022
/usr/bin/supervisord -n -c /etc/supervisor/supervisord.conf &
supervisor=$!
seeding=
stopping=
trap 'stopping=yes; kill -TERM "$supervisor" $seeding 2>/dev/null' TERM INT

# One whose syncd has run has files that are newer than the seed.
if [ "$ROLE" = primary ] && [ ! -e /var/lib/syncd/seeded ]; then
    seed_content &
    seeding=$!
fi
# supervisord starts its programs a second after it is up, or when it is asked something
until [ -S /run/supervisor.sock ] || ! kill -0 "$supervisor" 2>/dev/null; do sleep 0.05; done
curl --silent --max-time 1 --output /dev/null --unix-socket /run/supervisor.sock http://supervisor/ || true
if [ -n "$seeding" ]; then
    await "$seeding"
    seeding=
    if [ "$code" != 0 ] && [ -z "$stopping" ]; then
        say "wp-content was not seeded: the reason is above; the container ends"
        kill -TERM "$supervisor"
        await "$supervisor"
        exit 74
    fi
fi
[ -n "$stopping" ] || touch /run/site/seeded # run-syncd.sh waits for it

await "$supervisor"
# the container's exit code is that of syncd where that has something to say
[ "$(cat /run/site/syncd-exit 2>/dev/null)" != 75 ] || code=75
exit "$code"
