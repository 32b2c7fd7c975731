# Raise this with every change of nginx.conf.tmpl: Swarm never changes a config in place.
export NGINX_DEFAULT_CONF_VERSION=v3

# Called by hand: prints how much room the site takes.
site_size() {
  export SITE=/usr/share/nginx/html
  du -sh "$SITE"
}
