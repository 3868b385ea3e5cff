module github.com/caddy-dns/hetzner/v2

go 1.25

require (
	github.com/caddyserver/caddy/v2 v2.11.4
	github.com/libdns/hetzner/v2 v2.0.1
)
