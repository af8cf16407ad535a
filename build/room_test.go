package build

import "testing"

func TestNetworkToBuild(t *testing.T) {
	if err := networkToBuild(false); err != nil {
		t.Error(err)
	}
	if err := networkToBuild(true); codeOf(err) != "E506" {
		t.Errorf("got %v, want E506", err)
	}
}
