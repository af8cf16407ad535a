package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// note is what is kept of a container beside its files, so that it is found
// while containerd, which has all of it too, is away.
type note struct {
	Labels  map[string]string `json:"labels"`
	Created time.Time         `json:"created"`
	UID     int               `json:"uid"`
	PID     int               `json:"pid"` // of its first process
}

func (c *Container) notePath() string { return c.engine.state("e", c.ID, noteFile) }

const noteFile = "note.json"

// putNote writes the note of a container that runs.
func (c *Container) putNote() error {
	data, err := json.Marshal(note{Labels: c.Labels, Created: c.Created, UID: c.uid, PID: c.pid})
	if err == nil {
		err = os.WriteFile(c.notePath(), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep a note of the container: %w", err)
	}
	return nil
}

// renewNote writes the note of a container that has none.
func (c *Container) renewNote() {
	have, err := readNote(c.notePath())
	if err == nil && have.PID == c.pid {
		return
	}
	if err := c.putNote(); err != nil {
		c.engine.log.Debug("a container is not found while containerd is away", "id", c.ID, "err", err)
	}
}

func readNote(path string) (n note, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(data, &n)
}

// Survivors finds the containers of an installation that run while containerd
// is away, those alone whose program was launched. Dial, Listening and Done are
// all that may be asked of them: there is no engine behind them that could stop
// or remove one. release lets go of them.
func Survivors(cfg Config, log *slog.Logger) (found []*Container, release func() error, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, fmt.Errorf("find containers: %w", err)
	}
	e := newEngine(cfg, log)
	host, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, nil, fmt.Errorf("find containers: %w", err)
	}
	e.net = &network{log: log, cfg: cfg, host: host}
	for _, dir := range entriesOf(e.state("e")) {
		id := filepath.Base(dir)
		n, err := readNote(filepath.Join(dir, noteFile))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // a one-off or a build has none
				log.Warn("the note of a container cannot be read", "id", id, "err", err)
			}
			continue
		}
		c := &Container{ID: id, Labels: n.Labels, Created: n.Created, engine: e, uid: n.UID, done: make(chan struct{})}
		if c.Launched() {
			c.find(n.PID)
		}
		if c.proc == nil {
			continue
		}
		if _, err := c.netns(); err != nil {
			log.Warn("the network of a container cannot be found", "id", id, "err", err)
			c.release()
			continue
		}
		found = append(found, e.watch(c))
	}
	return found, e.Close, nil
}
