package verbs

import (
	"context"
	"testing"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

func TestRouterLogs_OfNoAppAreForAdmins(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, row := range []struct {
		user store.User
		app  string
		want string
	}{{store.Root, "", ""}, {reader, "", "E110"}, {deployer, "", "E110"}, {reader, "shop", ""}, {ofShop, "shop", ""}, {ofShop, "blog", "E111"}, {ofShop, "", "E110"}} {
		var lines []edge.RequestLine
		err := h.Call(t.Context(), row.user, "router:logs", RequestArgs{App: row.app, Status: "5xx", Lines: 3}, &lines, nil)
		if got := codeOf(err); got != row.want || err == nil && len(lines) != 1 {
			t.Errorf("%s asks for %q: got %q and %d lines, want %q", row.user.Name, row.app, got, len(lines), row.want)
		}
	}
}

func (p *puppet) Requests(_ context.Context, q edge.RequestQuery, fn func(edge.RequestLine) error) error {
	return fn(edge.RequestLine{Path: "/" + q.App, Status: 500})
}
