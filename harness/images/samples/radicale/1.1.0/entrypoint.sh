#!/bin/sh
# Makes the file of users from the secret, then runs the command as the user radicale.
set -eu

PATH="$PATH:/venv/bin"
users=/tmp/radicale-users
export PYTHONPYCACHEPREFIX=/cache

umask 077
printf '%s:%s\n' "$ADMIN_USER" "$(cat /run/secrets/admin_password)" > "$users"
umask 027

# Radicale makes its lock with the first request. A backup may come before that, and run as root.
mkdir -p /data/collections
touch /data/collections/.Radicale.lock

if [ "$(id -u)" != 0 ]; then
  exec "$@"
fi
chown radicale "$users"
chown -R radicale /data /cache
if command -v su-exec > /dev/null; then
  exec su-exec radicale "$@"
fi
exec setpriv --reuid=radicale --regid="$(id -g radicale)" --clear-groups "$@"
