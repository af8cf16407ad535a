package deploy

import (
	"testing"

	"github.com/berthd/berth/runtime"
)

func TestFindings_EveryKindHasACode(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []runtime.FindingKind{runtime.FindingIPv6Only, runtime.FindingClosed, runtime.FindingInput, runtime.FindingRunc, runtime.FindingRepaired, runtime.FindingAppArmor} {
		if code := findingCodes[kind]; code == "" || seen[code] {
			t.Errorf("%s has the code %q", kind, code)
		} else {
			seen[code] = true
		}
	}
}
