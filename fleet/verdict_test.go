package fleet

import (
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
)

func TestAdviseEnd_IsForAWebProcessThatEndsWithoutAnError(t *testing.T) {
	for _, exit := range []Exit{{}, {Code: 1}, {Signal: 9}, {Lost: true}, {OOM: true}} {
		f := fault.New(fault.Failed, "E302", "x")
		adviseEnd(f, "ssh berth@example.com", "shop", exit)
		hints := strings.Join(f.Hints, "\n")
		if says := strings.Contains(hints, "ended without an error") && strings.Contains(hints, " run shop COMMAND"); says != (exit == Exit{}) {
			t.Errorf("%+v: hints %q", exit, hints)
		}
	}
}
