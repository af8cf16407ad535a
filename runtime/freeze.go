package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// freezePatience is how long the processes of a container get to stand still. It
// takes microseconds, and longer where one waits in the kernel for a disk.
const freezePatience = 10 * time.Second

// Freeze makes the processes of a container stand still until Thaw. One that has
// ended stands still already.
func (c *Container) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezePatience)
	defer cancel()
	err := c.freeze("1", "FROZEN")
	for err == nil && !c.frozen() {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.done:
			return nil
		case <-time.After(time.Millisecond):
		}
	}
	if err != nil {
		return fmt.Errorf("freeze container %s: %w", c.ID, errors.Join(err, c.Thaw()))
	}
	return nil
}

// Thaw undoes Freeze. It is idempotent.
func (c *Container) Thaw() error {
	if err := c.freeze("0", "THAWED"); err != nil {
		return fmt.Errorf("thaw container %s: %w", c.ID, err)
	}
	return nil
}

// freeze writes the state of the container's cgroup: unified has a number, v1 a word.
func (c *Container) freeze(number, word string) error {
	file, state := c.engine.cgroups.file(c.ID, "freezer", "freezer.state"), word
	if unified() {
		file, state = c.engine.cgroups.file(c.ID, "", "cgroup.freeze"), number
	}
	err := os.WriteFile(file, []byte(state), 0)
	if errors.Is(err, fs.ErrNotExist) {
		select {
		case <-c.done:
			return nil // its cgroup went with it
		default:
		}
	}
	return err
}

func (c *Container) frozen() bool {
	if unified() {
		n, err := cgroupKeyed(c.engine.cgroups.file(c.ID, "", "cgroup.events"), "frozen")
		return err == nil && n == 1
	}
	state, err := os.ReadFile(c.engine.cgroups.file(c.ID, "freezer", "freezer.state"))
	return err == nil && strings.TrimSpace(string(state)) == "FROZEN"
}
