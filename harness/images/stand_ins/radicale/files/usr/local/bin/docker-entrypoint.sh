#!/bin/sh
# As root, makes /data the server's own and starts the command as the user radicale, or as the
# numbers in UID and GID. Under any other user it only starts the command.
set -eu

if [ "$(id -u)" = 0 ]; then
    uid=${UID:-2999}
    gid=${GID:-2999}
    if [ "${TAKE_FILE_OWNERSHIP:-true}" = true ]; then
        chown -R "$uid:$gid" /data
    fi
    exec setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"
fi
exec "$@"
