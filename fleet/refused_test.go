package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

// refusing is a router that takes no set.
type refusing struct{ *fleettest.Router }

func (refusing) Swap(fleet.Ref, []fleet.Backend) (fleet.Drain, error) {
	return nil, errors.New("the store is damaged")
}

// The router is asked again every second, for days if need be.
func TestReroute_SaysOnceThatTheRouterRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		life, end := context.WithCancel(t.Context())
		f := fleet.New(life, fleet.Config{
			Router: refusing{}, Journal: new(fleettest.Journal), Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		f.NewApp(70000, "shop").Reroute()
		time.Sleep(time.Hour)
		end()
		f.Rest()
		if n := strings.Count(log.String(), "could not be routed"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
	})
}
