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
			Short: "check the machine for problems",
			Long: "Checks: other firewalls that cut apps off or close berth's ports, a runc with\n" +
				"container escapes, a missing IPv4 route, a flushed ruleset, AppArmor without a\n" +
				"profile.",
			Example: "doctor",
		}, n.findings),
	}
}

func (n doctor) findings(ctx context.Context, _ Call, _ NoArgs) ([]deploy.Finding, error) {
	return n.Findings(ctx)
}
