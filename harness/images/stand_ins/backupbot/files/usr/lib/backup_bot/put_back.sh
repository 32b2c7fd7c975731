#!/bin/bash
# Makes live files hold what an unpacked snapshot holds, while an app works on them:
#
#     put_back.sh FROM TO LOG NAME...
#
# FROM is where the snapshot was unpacked, TO where the live files are; each NAME is a path in both.
# First everything is written, each file beside its place and then renamed over it; what was there
# before and is not in the snapshot is deleted afterwards, by its name. So no file that the snapshot
# holds is missing in between. Files that the app makes or removes meanwhile are no error. Sockets
# and pipes are left alone: they belong to programs that are running.
#
# LOG gets a line for each file: `written NAME` or `removed NAME`; and where writing broke off, `lacks
# NAME` for each that was to be written and is not there.
set -uo pipefail
export LC_ALL=C
from=$1 to=$2 log=$3
shift 3
names=("${@/#/./}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$log" || exit 1

# In a line of rsync, find or rm: what only says that the app is at work.
GONE='No such file or directory( \(2\))?$|Not a directory( \(20\))?$'
BUSY='cannot delete non-empty directory|[Cc]ould not make way for|Directory not empty|File exists'
NOISE='^rsync error: some files/attrs were not transferred|^\*\*\* Skipping any contents|^ *$'

# Fails with the lines of a file that match none of the patterns; without any of them it is well.
only() {
    if grep -Ev "$1" "$work/err" >"$work/other"; then
        cat "$work/other" >&2
        return 1
    fi
}

# Lists everything below the names, in a directory, without following a link.
list() {
    : >"$work/err"
    (cd "$1" && for name in "${names[@]}"; do
        [[ ! -d $name || -L $name ]] || find "$name" -mindepth 1 ! -type s ! -type p -print0
    done) 2>"$work/err" | sort -z
    only "$GONE"
}

write() {
    local flags=-aHAXSOc pass code
    for pass in 1 2 3 4 5; do
        (cd "$from" && exec rsync "$flags" --modify-window=-1 --numeric-ids --force --relative \
            --out-format='written %n' -- "$@" "$to/") >>"$log" 2>"$work/err"
        code=$?
        [[ $code != 0 ]] || return 0
        if grep -q 'Operation not supported (95)' "$work/err"; then
            flags=-aHSOc # the volume's file system has no attributes beside the mode
        elif [[ $code != 23 ]] || ! grep -Eq "$GONE|$BUSY" "$work/err"; then
            break
        fi
    done
    [[ $code != 23 ]] || ! only "$GONE|$NOISE" || return 0
    [[ $code = 23 ]] || cat "$work/err" >&2
    (cd "$from" && rsync -rlcn --relative --out-format='lacks %n' -- "$@" "$to/") >>"$log" 2>/dev/null
    return 1
}

remove() {
    comm -z -12 "$work/before" "$work/now" | comm -z -23 - "$work/snapshot" | sort -rz |
        (cd "$to" && xargs -0r rm -fdv --) >"$work/removed" 2>"$work/err"
    sed -E "s/^removed (directory )?'?\.?\/?(.*[^'])'?$/removed \2/" "$work/removed" >>"$log"
    only "$GONE|$BUSY"
}

# Writing and deleting change the times of directories; gives them back, even if both are of the same
# second. One from which the app has removed a file meanwhile keeps its own: it shows that it was so.
set_times() {
    list "$to" >"$work/now" || return 1
    comm -z -13 "$work/now" "$work/snapshot" | sed -z 's:/[^/]*$::' | sort -zu >"$work/lacking"
    (cd "$from" && find "${names[@]}" -type d -print0) | sort -z | comm -z -23 - "$work/lacking" |
        (cd "$from" && rsync -a --modify-window=-1 --numeric-ids --no-implied-dirs \
            --from0 --files-from=- ./ "$to/") 2>"$work/err" || only "$GONE|$NOISE"
}

for name; do
    [[ -e $from/$name || -L $from/$name ]] || { echo "the snapshot lacks $name" >&2; exit 1; }
done
[[ -d $to ]] || { echo "there is no directory $to" >&2; exit 1; }
list "$to" >"$work/before" && list "$from" >"$work/snapshot" || exit 1
write "$@" || exit 1
list "$to" >"$work/now" || exit 1
remove && set_times
