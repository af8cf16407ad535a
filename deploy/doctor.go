package deploy

import (
	"context"
	"slices"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault/code"
)

// Finding is something about the machine that an operator should look at.
type Finding struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

var findingCodes = map[runtime.FindingKind]string{
	runtime.FindingIPv6Only: build.IPv6Only().Code,
	runtime.FindingClosed:   code.FirewallClosed,
	runtime.FindingInput:    code.PortClosed,
	runtime.FindingRunc:     code.RuncVulnerable,
	runtime.FindingRepaired: code.FirewallReset,
	runtime.FindingAppArmor: code.AppArmorMissing,
}

// Doctor checks the machine for problems.
type Doctor struct {
	Engine *runtime.Engine

	// Outside are the ports of berth's own that visitors and pushers come to from
	// other machines.
	Outside []runtime.InputPort
}

// Findings looks at the machine: none is good news.
func (d Doctor) Findings(ctx context.Context) ([]Finding, error) {
	list := []Finding{}
	for _, f := range slices.Concat(d.Engine.Findings(ctx), runtime.ClosedInputs(ctx, d.Outside)) {
		list = append(list, Finding{findingCodes[f.Kind], f.Text, f.Remedy})
	}
	return list, nil
}
