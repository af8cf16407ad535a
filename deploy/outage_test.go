package deploy

import (
	"context"
	"testing"
	"time"
)

// A deployer that is not run has no other end: what it tries again and again, as
// to route an app, would go on beside the one that has an engine.
func TestRouteSurvivors_EndsWithTheOutage(t *testing.T) {
	d := newDeployer(t)
	ctx, over := context.WithCancel(t.Context())
	d.RouteSurvivors(ctx, nil)
	over()
	select {
	case <-d.life.Done():
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
