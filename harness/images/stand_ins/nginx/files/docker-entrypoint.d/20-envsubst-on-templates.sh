#!/bin/sh
# Fills in templates: each NAME.template below the template directory becomes NAME in the output
# directory, with every ${VARIABLE} that is set in the environment replaced. nginx's own variables
# are not in the environment, so they stay. NGINX_ENVSUBST_FILTER is a pattern of names to replace.
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}

[ -d "$templates" ] || exit 0
if [ ! -w "$output" ]; then
    echo "templates are left alone: $output cannot be written" >&2
    exit 0
fi

# Asked of awk: in the output of env(1), a value of several lines could pass for a variable.
names=$(awk 'BEGIN {
    filter = ENVIRON["NGINX_ENVSUBST_FILTER"]
    for (name in ENVIRON) if (filter == "" || name ~ filter) printf "${%s} ", name
}')

find -L "$templates" -type f -name "*$suffix" | while IFS= read -r template; do
    name=${template#"$templates"/}
    target=$output/${name%"$suffix"}
    mkdir -p "${target%/*}"
    envsubst "$names" < "$template" > "$target"
done
