package verbs

import (
	"context"
	"io"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// ResourceRoom is what the verbs of resources ask for; *deploy.Resources documents it.
type ResourceRoom interface {
	Allot(ctx context.Context, app string, a deploy.Allotting, by store.User, out io.Writer) (deploy.Allotted, error)
	ResourceReport(ctx context.Context, app string) (deploy.ResourceReport, error)
}

type resources struct {
	records
	ResourceRoom
}

func (n resources) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "resource:limit", Role: deploys,
			Short: "limit what instances may take",
			Long: "Of one process type, or of every one that has no limit of its own. A size is\n" +
				"512m or 1g, and MB without a unit. clear takes a limit back. What runs has its\n" +
				"new limits of memory, CPUs, pids and disk at once; files and shm count from an\n" +
				"instance's next start. Without a limit it shows them.\n" +
				"\nMore than is usual, or than an operator has set for the app, takes a key that is\n" +
				"not bound to apps.",
			Example: "resource:limit --memory 512m --cpu 0.5 shop\nresource:limit --memory 1g --process-type web shop\nresource:limit --cpu clear shop",
		}, n.limit),
		act(Verb{
			Name: "resource:limit-clear", Role: deploys,
			Short:   "take back the limits of an app",
			Long:    "Of one process type, or of every one. A key that is bound to apps takes back its\nown, and what an operator has set stays.",
			Example: "resource:limit-clear shop\nresource:limit-clear --process-type web shop",
		}, n.limitClear),
		act(Verb{
			Name: "resource:reserve", Role: deploys,
			Short: "keep memory and CPUs for instances",
			Long: "So much is kept for each instance of a process type, or of every one that has no\n" +
				"reservation of its own. All reservations have to fit into the machine: what does\n" +
				"not is refused before it starts. A key that is bound to apps can only lower it.",
			Example: "resource:reserve --memory 256m --process-type web shop\nresource:reserve --memory clear shop",
		}, n.reserve),
		act(Verb{
			Name: "resource:reserve-clear", Role: deploys,
			Short:   "take back an app's reservations",
			Example: "resource:reserve-clear shop\nresource:reserve-clear --process-type web shop",
		}, n.reserveClear),
		look(Verb{
			Name: "resource:report", Role: reads,
			Short:   "show limits, reservations and use",
			Example: "resource:report shop",
			Aliases: []string{"resource"},
		}, n.report),
	}
}

// ResourceReserveArgs say how much is to be kept for the instances of a process type.
type ResourceReserveArgs struct {
	AppArgs
	ProcessType string `json:"process_type,omitempty" flag:"process-type" help:"web say; without it every type that has none of its own"`
	Memory      string `json:"memory,omitempty" flag:"memory" help:"512m, 1g"`
	CPU         string `json:"cpu,omitempty" flag:"cpu" help:"cores: 0.5, 2"`
}

// ResourceLimitArgs say how much the instances of a process type may take.
type ResourceLimitArgs struct {
	ResourceReserveArgs
	Swap  string `json:"memory_swap,omitempty" flag:"memory-swap" help:"memory and swap together: 1g"`
	Pids  string `json:"pids,omitempty" flag:"pids" help:"processes and threads"`
	Files string `json:"files,omitempty" flag:"files" help:"open files of one process"`
	Shm   string `json:"shm,omitempty" flag:"shm" help:"size of /dev/shm: 256m"`
	Disk  string `json:"disk,omitempty" flag:"disk" help:"what is written outside of volumes: 2g"`
}

// TypeArgs name an app and perhaps one of its process types.
type TypeArgs struct {
	AppArgs
	ProcessType string `json:"process_type,omitempty" flag:"process-type" help:"web say; without it every type"`
}

// Allotted is what came of a change, and how things stand after it.
type Allotted struct {
	deploy.ResourceReport
	Changed bool     `json:"changed"`
	Now     []string `json:"now"`   // limits that what runs has at once
	Later   []string `json:"later"` // limits that count from an instance's next start
}

// given are the values that are there.
func given(values map[string]string) map[string]string {
	for name, value := range values {
		if value == "" {
			delete(values, name)
		}
	}
	return values
}

func (n resources) limit(ctx context.Context, c Call, args ResourceLimitArgs) (Allotted, error) {
	return n.change(ctx, c, args.App, deploy.Allotting{Process: args.ProcessType, Limit: given(map[string]string{
		"memory": args.Memory, "memory-swap": args.Swap, "cpu": args.CPU, "pids": args.Pids,
		"files": args.Files, "shm": args.Shm, "disk": args.Disk,
	})})
}

func (n resources) reserve(ctx context.Context, c Call, args ResourceReserveArgs) (Allotted, error) {
	return n.change(ctx, c, args.App, deploy.Allotting{
		Process: args.ProcessType, Reserve: given(map[string]string{"memory": args.Memory, "cpu": args.CPU}),
	})
}

func (n resources) limitClear(ctx context.Context, c Call, args TypeArgs) (Allotted, error) {
	return n.change(ctx, c, args.App, deploy.Allotting{Process: args.ProcessType, ClearLimits: true})
}

func (n resources) reserveClear(ctx context.Context, c Call, args TypeArgs) (Allotted, error) {
	return n.change(ctx, c, args.App, deploy.Allotting{Process: args.ProcessType, ClearReserves: true})
}

// change makes a change. Without one it reports, as Dokku does.
func (n resources) change(ctx context.Context, c Call, app string, a deploy.Allotting) (done Allotted, err error) {
	done.Now, done.Later = []string{}, []string{}
	if len(a.Limit)+len(a.Reserve) > 0 || a.ClearLimits || a.ClearReserves {
		got, err := n.Allot(ctx, app, a, c.User, c.Out)
		if err != nil {
			return Allotted{}, err
		}
		done.Changed, done.Now, done.Later = true, got.Now, got.Later
	}
	done.ResourceReport, err = n.ResourceReport(ctx, app)
	return done, err
}

func (n resources) report(ctx context.Context, _ Call, args AppArgs) (deploy.ResourceReport, error) {
	return n.ResourceReport(ctx, args.App)
}
