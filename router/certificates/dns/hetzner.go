package dns

import (
	"context"
	"errors"
	"net/url"
)

// hetzner is the DNS of Hetzner's Cloud API, which has taken the place of the
// DNS console's own.
type hetzner struct{ service }

func hetznerKind() kind {
	return kind{
		name: "hetzner",
		settings: []Setting{
			{Name: "HETZNER_API_TOKEN", Aliases: []string{"HETZNER_API_KEY", "HCLOUD_TOKEN"}, Secret: true},
			{Name: "HETZNER_API_URL", Optional: true},
		},
		open: func(get map[string]string) (zone, error) {
			return hetzner{newService("Hetzner", "https://api.hetzner.cloud/v1", get["HETZNER_API_URL"],
				map[string]string{"Authorization": "Bearer " + get["HETZNER_API_TOKEN"]})}, nil
		},
	}
}

type hetznerRecords struct {
	TTL     int             `json:"ttl,omitempty"`
	Records []hetznerRecord `json:"records"`
}

type hetznerRecord struct {
	Value string `json:"value"`
}

func (h hetzner) act(ctx context.Context, action, zone, name, value string, ttl int) error {
	place := "/zones/" + url.PathEscape(zone) + "/rrsets/" + url.PathEscape(name) + "/TXT/actions/" + action
	return h.call(ctx, "POST", place, hetznerRecords{ttl, []hetznerRecord{{quote(value)}}}, nil)
}

func (h hetzner) add(ctx context.Context, zone, name, value string) error {
	return h.act(ctx, "add_records", zone, name, value, ttl)
}

func (h hetzner) remove(ctx context.Context, zone, name, value string) error {
	err := h.act(ctx, "remove_records", zone, name, value, 0)
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
