package verbs

import (
	"context"

	"github.com/berthd/berth/deploy"
)

// DoctorRoom is what the verbs of doctor ask for; deploy.Doctor documents it.
type DoctorRoom interface {
	Findings(ctx context.Context) ([]deploy.Finding, error)
}

type doctor struct {
	DoctorRoom
}

func (n doctor) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "doctor", Role: admins,
			Short: "look for what is wrong on the machine",
			Long: "Other firewalls that keep apps from the network or close berth's ports, a runc\n" +
				"with ways out of containers, a missing IPv4 route, a flushed ruleset, AppArmor\n" +
				"without a profile.",
			Example: "doctor",
		}, n.findings),
	}
}

func (n doctor) findings(ctx context.Context, _ Call, _ NoArgs) ([]deploy.Finding, error) {
	return n.Findings(ctx)
}
