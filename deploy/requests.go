package deploy

import (
	"context"
	"strconv"
	"strings"

	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/store/fault"
)

// RequestQuery chooses lines of an app's access log.
type RequestQuery struct {
	App    string // "" is what no app was asked for: unknown hosts, the admin page
	Status string // "404", or "5xx" for a class; "" is every one
	Lines  int    // the last n; negative is all
	Follow bool
}

// RequestLine is one line of it: a request, or that lines were lost.
type RequestLine = accesslog.Line

// Requests calls fn with each line of the access log that the query asks for,
// oldest first; with Follow until ctx ends or the app is destroyed. Calls do
// not overlap.
func (b *LogBook) Requests(ctx context.Context, q RequestQuery, fn func(RequestLine) error) error {
	route := "" // is what no app was asked for
	if q.App != "" {
		record, err := b.find(q.App)
		if err != nil {
			return err
		}
		route = record.ID()
	}
	want, err := wantStatus(q.Status)
	if err != nil {
		return err
	}
	return b.requests.Read(ctx, accesslog.Query{Route: route, Lines: q.Lines, Follow: q.Follow, Want: want}, fn)
}

// wantStatus reads "404" and "5xx"; nil wants all.
func wantStatus(status string) (func(RequestLine) bool, error) {
	if status == "" {
		return nil, nil
	}
	low, err := strconv.Atoi(strings.ReplaceAll(strings.ToLower(status), "xx", "00"))
	high := low
	if len(status) == 3 && strings.EqualFold(status[1:], "xx") {
		high += 99
	}
	if err != nil || len(status) != 3 || low < 100 || low > 599 {
		return nil, fault.New(fault.Usage, "E186", "%.60q is no status of a response", status).Hint("404 is one, and 5xx is every one from 500 to 599")
	}
	return func(line RequestLine) bool { return line.Status >= low && line.Status <= high }, nil
}
