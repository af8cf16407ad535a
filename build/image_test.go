package build

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

func TestImageFault_SaysWhereAnImageIsInTheWay(t *testing.T) {
	d := newBuilder(t)
	err := fmt.Errorf("make the image: %w", fmt.Errorf("%w: %s", runtime.ErrReserved, "/.berth/init"))
	f := fault.From(d.imageFault(t.Context(), err))
	if f == nil || f.Code != "E197" || !strings.Contains(f.Error(), "at /.berth/init, which") {
		t.Fatalf("got %v, want E197 with the place", f)
	}
	if hints := strings.Join(f.Hints, ""); !strings.Contains(hints, "/.berth") {
		t.Errorf("the hint is %q", hints)
	}
	if err := d.imageFault(t.Context(), nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if f := fault.From(d.imageFault(t.Context(), errors.New("anything else"))); f != nil {
		t.Errorf("of anything else: %v", f)
	}
}
