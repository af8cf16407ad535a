package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// openingCommand is a command by which install.sh opens another program's
// firewall for berth, as the manifest has it. Nothing else is ever undone.
var openingCommand = regexp.MustCompile(`^(ufw (route )?allow [A-Za-z0-9./: -]+|` +
	`firewall-cmd --permanent (--new-zone=berth|--new-policy=berth-out|--zone=[A-Za-z0-9_-]+ --add-port=[0-9]+/(tcp|udp)))$`)

// closeFirewall takes back what install.sh has opened, what came last first, and
// returns the items that stay in the manifest: a rule that is taken back may be
// another program's the next time. A rule that the firewall's own program does
// not remove stays, and is noted in left.
func closeFirewall(ctx context.Context, items []item, out io.Writer, left *leftovers) (kept []item) {
	reload := false
	for _, it := range slices.Backward(items) {
		if it.kind != "firewall" {
			kept = append(kept, it)
			continue
		}
		args := closingCommand(it.name)
		if _, err := exec.LookPath(args[0]); err != nil {
			continue // the rules went with the program
		}
		if err := run(ctx, args[0], args[1:]...); err != nil && !goneFromFirewalld(err) {
			left.add("firewall rule "+it.name, err)
			kept = append(kept, it)
			continue
		}
		fmt.Fprintf(out, "       %s\n", strings.Join(args, " "))
		reload = reload || args[0] == "firewall-cmd"
	}
	if reload {
		left.add("", run(ctx, "firewall-cmd", "--reload"))
	}
	slices.Reverse(kept)
	return kept
}

// goneFromFirewalld tells whether there is nothing to take back: the manifest
// names zone and policy before they are made, and that may have been cut off.
func goneFromFirewalld(err error) bool {
	return strings.Contains(err.Error(), "INVALID_ZONE: berth") || strings.Contains(err.Error(), "INVALID_POLICY: berth-out")
}

// closingCommand undoes an opening command.
func closingCommand(opening string) []string {
	args := strings.Fields(opening)
	if args[0] == "ufw" {
		at := slices.Index(args, "allow")
		return slices.Concat([]string{"ufw", "--force"}, args[1:at], []string{"delete"}, args[at:])
	}
	last := &args[len(args)-1]
	*last = strings.NewReplacer("--new-", "--delete-", "--add-port", "--remove-port").Replace(*last)
	return args
}
