// Package hetzner stands in for github.com/caddy-dns/hetzner/v2 where no module proxy has that module.
// The work is done by the same library, libdns/hetzner/v2; this file only introduces it to Caddy,
// under the same module name, with the same one-line form in the Caddyfile.
package hetzner

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/libdns/hetzner/v2"
)

func init() { caddy.RegisterModule(new(DNS)) }

// DNS is the Caddy module dns.providers.hetzner.
type DNS struct {
	hetzner.Provider
}

var (
	_ caddy.Provisioner     = (*DNS)(nil)
	_ caddyfile.Unmarshaler = (*DNS)(nil)
)

func (*DNS) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "dns.providers.hetzner", New: func() caddy.Module { return new(DNS) }}
}

// UnmarshalCaddyfile reads `hetzner TOKEN`.
func (m *DNS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&m.APIToken) {
		return d.ArgErr()
	}
	return nil
}

// Provision replaces a placeholder such as {file./run/secrets/token} by its value.
func (m *DNS) Provision(caddy.Context) error {
	m.APIToken = caddy.NewReplacer().ReplaceAll(m.APIToken, "")
	return nil
}
