package dns

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
)

// gandiTTL is the least that Gandi takes.
const gandiTTL = 300

// gandi is Gandi's LiveDNS, version 5. It knows sets of records only, which are
// read, changed and written back.
type gandi struct {
	service
	mu sync.Mutex // held over that, so that no change of ours is lost
}

func gandiKind() kind {
	return kind{
		name: "gandi", aliases: []string{"gandiv5"},
		settings: []Setting{
			{Name: "GANDIV5_PERSONAL_ACCESS_TOKEN", Secret: true},
			{Name: "GANDIV5_BASE_URL", Optional: true},
		},
		open: func(get map[string]string) (zone, error) {
			return &gandi{service: newService("Gandi", "https://api.gandi.net/v5/livedns", get["GANDIV5_BASE_URL"],
				map[string]string{"Authorization": "Bearer " + get["GANDIV5_PERSONAL_ACCESS_TOKEN"]})}, nil
		},
	}
}

type gandiRecords struct {
	TTL    int      `json:"rrset_ttl"`
	Values []string `json:"rrset_values"`
}

func (g *gandi) add(ctx context.Context, zone, name, value string) error {
	return g.change(ctx, zone, name, func(values []string) []string { return append(values, quote(value)) }, value)
}

func (g *gandi) remove(ctx context.Context, zone, name, value string) error {
	return g.change(ctx, zone, name, func(values []string) []string { return values }, value)
}

// change writes the set back without the value, and with what then adds.
func (g *gandi) change(ctx context.Context, zone, name string, then func([]string) []string, value string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := "/domains/" + url.PathEscape(zone) + "/records/" + url.PathEscape(name) + "/TXT"
	var set gandiRecords
	if err := g.call(ctx, "GET", place, nil, &set); err != nil && !errors.Is(err, errAbsent) {
		return err
	}
	before := len(set.Values)
	set.Values = then(slices.DeleteFunc(set.Values, func(stored string) bool { return sameText(stored, value) }))
	set.TTL = max(set.TTL, gandiTTL)
	if len(set.Values) > 0 {
		return g.call(ctx, "PUT", place, set, nil)
	}
	if before == 0 {
		return nil
	}
	err := g.call(ctx, "DELETE", place, nil, nil)
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}
