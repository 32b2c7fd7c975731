#!/bin/sh
# Runs the steps in /docker-entrypoint.d if nginx is to be started, then becomes the command given,
# so that signals reach it. A step NAME.envsh is sourced, NAME.sh is run, in the order of their
# names; either needs the permission to be executed. A step that fails ends the container.
set -e

say() {
    if [ -z "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ]; then
        echo "entrypoint: $*"
    fi
}

take_step() {
    case "$1" in
        *.envsh | *.sh)
            if [ ! -x "$1" ]; then
                say "leaving out $1: it may not be executed"
                return
            fi
            ;;
        *)
            say "leaving out $1: neither .sh nor .envsh"
            return
            ;;
    esac
    say "step $1"
    case "$1" in
        *.envsh) . "$1" ;;
        *) "$1" ;;
    esac
}

take_steps() {
    # Not a pipe into a loop: that is another shell, and what a step exports would be lost there.
    ifs=$IFS
    IFS='
'
    set -- $(find -L /docker-entrypoint.d -type f | sort -V)
    IFS=$ifs
    for step in "$@"; do
        take_step "$step"
    done
}

case "${1:-}" in
    nginx | nginx-debug) take_steps ;;
esac
exec "$@"
