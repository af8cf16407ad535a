package dns

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// digitalocean is DigitalOcean's API, version 2.
type digitalocean struct{ service }

func digitaloceanKind() kind {
	return kind{
		name: "digitalocean",
		settings: []Setting{
			{Name: "DO_AUTH_TOKEN", Secret: true},
			{Name: "DO_API_URL", Optional: true},
		},
		open: func(get map[string]string) (zone, error) {
			return digitalocean{newService("DigitalOcean", "https://api.digitalocean.com", get["DO_API_URL"],
				map[string]string{"Authorization": "Bearer " + get["DO_AUTH_TOKEN"]})}, nil
		},
	}
}

type digitaloceanRecord struct {
	ID   int64  `json:"id,omitempty"`
	Type string `json:"type"`
	Name string `json:"name"`
	Data string `json:"data"`
	TTL  int    `json:"ttl"`
}

func (d digitalocean) add(ctx context.Context, zone, name, value string) error {
	return d.call(ctx, "POST", "/v2/domains/"+url.PathEscape(zone)+"/records", digitaloceanRecord{Type: "TXT", Name: name, Data: value, TTL: ttl}, nil)
}

func (d digitalocean) remove(ctx context.Context, zone, name, value string) error {
	place := "/v2/domains/" + url.PathEscape(zone) + "/records"
	var found struct {
		Records []digitaloceanRecord `json:"domain_records"`
	}
	err := d.call(ctx, "GET", place+"?per_page=200&type=TXT&name="+url.QueryEscape(absolute(zone, name)), nil, &found)
	if err != nil {
		return err
	}
	for _, record := range found.Records {
		if !sameText(record.Data, value) {
			continue
		}
		if err := d.call(ctx, "DELETE", fmt.Sprintf("%s/%d", place, record.ID), nil, nil); err != nil && !errors.Is(err, errAbsent) {
			return err
		}
	}
	return nil
}
