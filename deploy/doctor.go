package deploy

import (
	"context"
	"slices"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

// Finding is something about the machine that an operator should look at.
type Finding struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

const (
	codeIPv6Only      = "E506"
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

// Doctor looks for what is wrong on the machine.
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

// networkToBuild says why a build could fetch nothing here.
func networkToBuild(ipv6Only bool) error {
	if !ipv6Only {
		return nil
	}
	return fault.New(fault.Failed, codeIPv6Only, "this machine reaches the internet by IPv6 alone, and builds have IPv4").
		Hint("give it an IPv4 address or a route by NAT or CLAT; what runs goes on")
}
