package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// Whoever waits for a verb and leaves is noticed at each door: the deployer then
// does not begin what it has not begun.
func TestDoors_TheEndOfWhoeverWaitsReachesTheVerb(t *testing.T) {
	h := newHouse(t)
	h.update(t, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
	h.update(t, func(tx *store.Tx) error {
		return tx.Keys.Put(store.Key{Name: "alice", Fingerprint: "SHA256:a", Role: store.RoleAdmin})
	})
	alice := store.User{Name: "alice", Role: store.RoleAdmin}
	entered, left := make(chan bool), make(chan error, 1)
	h.deployer.scale = func(ctx context.Context, _ io.Writer) error {
		entered <- true
		<-ctx.Done() // as the wait for the app's turn
		left <- ctx.Err()
		return ctx.Err()
	}
	server := httptest.NewServer(h.Handler())
	defer server.Close()
	link, _, err := h.table.Sessions.Link(alice)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := h.table.Sessions.Redeem(link)
	if err != nil {
		t.Fatal(err)
	}
	args := verbs.ScaleArgs{AppArgs: verbs.AppArgs{App: "shop"}, Formation: map[string]int{"web": 1}}
	byHTTP := func(path, kind, body string) func(ctx context.Context) {
		return func(ctx context.Context) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", kind)
			req.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}
	}
	doors := map[string]func(ctx context.Context){
		"ssh":   func(ctx context.Context) { h.Client(alice).Call(ctx, "ps:scale", args, nil, nil) },
		"https": byHTTP("/api/v1/ps:scale", "application/json", `{"app":"shop","formation":{"web":1}}`),
	}
	if os.Geteuid() == 0 {
		doors["socket"] = func(ctx context.Context) { client.Dial(h.socket).Call(ctx, "ps:scale", args, nil, nil) }
	}
	for name, ask := range doors {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			go ask(ctx)
			<-entered
			leave()
			<-left
		})
	}
}
