package dns

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// cloudflare is Cloudflare's API, version 4.
type cloudflare struct {
	zones   service // asked for the zone's ID: the token for that may be another
	records service
}

func cloudflareKind() kind {
	return kind{
		name: "cloudflare",
		settings: []Setting{
			{Name: "CLOUDFLARE_DNS_API_TOKEN", Aliases: []string{"CF_DNS_API_TOKEN"}, Secret: true},
			{Name: "CLOUDFLARE_ZONE_API_TOKEN", Aliases: []string{"CF_ZONE_API_TOKEN"}, Secret: true, Optional: true},
			{Name: "CLOUDFLARE_BASE_URL", Optional: true},
		},
		open: func(get map[string]string) (zone, error) {
			open := func(token string) service {
				return newService("Cloudflare", "https://api.cloudflare.com/client/v4", get["CLOUDFLARE_BASE_URL"],
					map[string]string{"Authorization": "Bearer " + token})
			}
			c := &cloudflare{records: open(get["CLOUDFLARE_DNS_API_TOKEN"])}
			c.zones = c.records
			if token := get["CLOUDFLARE_ZONE_API_TOKEN"]; token != "" {
				c.zones = open(token)
			}
			return c, nil
		},
	}
}

type cloudflareRecord struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
}

func (c *cloudflare) place(ctx context.Context, zone string) (string, error) {
	var found struct {
		Result []struct {
			ID string `json:"id"`
		} `json:"result"`
	}
	if err := c.zones.call(ctx, "GET", "/zones?name="+url.QueryEscape(zone), nil, &found); err != nil {
		return "", err
	}
	if len(found.Result) == 0 {
		return "", fmt.Errorf("Cloudflare: the token sees no zone %s", zone)
	}
	return "/zones/" + url.PathEscape(found.Result[0].ID) + "/dns_records", nil
}

func (c *cloudflare) add(ctx context.Context, zone, name, value string) error {
	place, err := c.place(ctx, zone)
	if err != nil {
		return err
	}
	return c.records.call(ctx, "POST", place, cloudflareRecord{Type: "TXT", Name: absolute(zone, name), Content: quote(value), TTL: ttl}, nil)
}

func (c *cloudflare) remove(ctx context.Context, zone, name, value string) error {
	place, err := c.place(ctx, zone)
	if err != nil {
		return err
	}
	var found struct {
		Result []cloudflareRecord `json:"result"`
	}
	if err := c.records.call(ctx, "GET", place+"?per_page=100&type=TXT&name="+url.QueryEscape(absolute(zone, name)), nil, &found); err != nil {
		return err
	}
	for _, record := range found.Result {
		if !sameText(record.Content, value) {
			continue
		}
		if err := c.records.call(ctx, "DELETE", place+"/"+url.PathEscape(record.ID), nil, nil); err != nil && !errors.Is(err, errAbsent) {
			return err
		}
	}
	return nil
}
