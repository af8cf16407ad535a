package deploy

import (
	"context"
	"slices"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/runtime"
)

// Finding is something about the machine that an operator should look at.
type Finding struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

const (
	codeIPv6Only      = build.CodeIPv6Only
	codeOtherFirewall = "E507"
	codeRunc          = "E508"
	codeFirewallReset = "E509"
	codeClosedPort    = "E513"
	codeAppArmor      = "E195"
)

var findingCodes = map[runtime.FindingKind]string{
	runtime.FindingIPv6Only: codeIPv6Only,
	runtime.FindingClosed:   codeOtherFirewall,
	runtime.FindingInput:    codeClosedPort,
	runtime.FindingRunc:     codeRunc,
	runtime.FindingRepaired: codeFirewallReset,
	runtime.FindingAppArmor: codeAppArmor,
}

// Findings looks at the machine: none is good news.
func (d *Deployer) Findings(ctx context.Context) ([]Finding, error) {
	list := []Finding{}
	for _, f := range slices.Concat(d.engine.Findings(ctx), runtime.ClosedInputs(ctx, d.cfg.Outside)) {
		list = append(list, Finding{findingCodes[f.Kind], f.Text, f.Remedy})
	}
	return list, nil
}
