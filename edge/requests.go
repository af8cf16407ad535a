package edge

import (
	"context"
	"strconv"
	"strings"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
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

// Requests is what the apps are asked: the lines of the access log, and the
// counters of the router. Its methods are safe for concurrent use.
type Requests struct {
	db      *store.Store
	table   *router.Router
	log     *accesslog.Log
	traffic traffic
}

// NewRequests returns the requests that a router takes. Run has to read its
// counters for Traffic to tell of them.
func NewRequests(db *store.Store, table *router.Router, log *accesslog.Log) *Requests {
	return &Requests{db: db, table: table, log: log}
}

// id returns what the router and the access log know an app by, or a fault (E101)
// when there is no such app.
func (r *Requests) id(app string) (id string, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		id = record.ID()
		return err
	})
	return id, err
}

// Requests calls fn with each line of the access log that the query asks for,
// oldest first; with Follow until ctx ends or the app is destroyed. Calls do
// not overlap.
func (r *Requests) Requests(ctx context.Context, q RequestQuery, fn func(RequestLine) error) error {
	route := "" // is what no app was asked for
	if q.App != "" {
		id, err := r.id(q.App)
		if err != nil {
			return err
		}
		route = id
	}
	want, err := wantStatus(q.Status)
	if err != nil {
		return err
	}
	return r.log.Read(ctx, accesslog.Query{Route: route, Lines: q.Lines, Follow: q.Follow, Want: want}, fn)
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
		return nil, fault.New(fault.Usage, code.StatusInvalid, "%.60q is not an HTTP status", status).Hint("use a status such as 404, or 5xx for 500 to 599")
	}
	return func(line RequestLine) bool { return line.Status >= low && line.Status <= high }, nil
}
