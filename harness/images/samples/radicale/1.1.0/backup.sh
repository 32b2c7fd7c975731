#!/bin/sh
# Called by the backup tool: `export` and `tidy` around a backup, `import` after a restore.
set -eu
umask 077

collections=/data/collections
export_file=/data/export.tar
lock="$collections/.Radicale.lock"

export_all() {
  # Radicale writes under this lock, so nobody writes while the copy is made.
  flock --shared "$lock" tar -C "$collections" --exclude=./.Radicale.lock -cf "$export_file.part" .
  mv "$export_file.part" "$export_file"
}

import_all() {
  # A backup made by an older release has no such copy: then the files themselves are what counts.
  [ -f "$export_file" ] || return 0
  flock "$lock" sh -c '
    find "$1" -mindepth 1 ! -path "$1/.Radicale.lock" -delete
    tar -C "$1" -xpf "$2"
  ' import "$collections" "$export_file"
  rm -f "$export_file"
}

case "${1:-}" in
  export) export_all ;;
  tidy) rm -f "$export_file" "$export_file.part" ;;
  import) import_all ;;
  *)
    echo "usage: $0 export|tidy|import" >&2
    exit 2
    ;;
esac
