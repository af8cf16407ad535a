package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Where install.sh puts what uninstall must find again.
const (
	manifestFile   = "/etc/berth/manifest"
	settingsFile   = "/etc/berth/berth.env"
	programFile    = "/usr/local/bin/berth"
	unitDir        = "/etc/systemd/system"
	serviceCommand = "/usr/local/lib/berth/service" // where systemd does not run
)

// uninstall removes what install.sh made: it stops berth and the apps, then
// takes away the program and its units. With purge the data goes too: apps,
// repositories, certificates, layers, the user. Debian packages stay in either
// case, for something else may have come to need them.
//
// What cannot be removed is left and named at the end, and with it the program,
// the manifest and the settings, so that uninstall can be run again.
func uninstall(ctx context.Context, purge bool, out io.Writer) error {
	items, err := readManifest(manifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, code.UninstallNoManifest, "install.sh did not install berth here: there is no %s", manifestFile)
	}
	if err != nil {
		return err
	}
	settings, err := readSettings(settingsFile)
	if err != nil {
		return err
	}

	fmt.Fprintln(out, "-----> Stop     berth")
	if err := stopService(ctx, items); err != nil {
		return err // it would start again whatever is stopped
	}
	var left leftovers
	fmt.Fprintln(out, "-----> Remove   containers")
	removed, err := removeContainers(ctx, settings.engine(), purge, out)
	left.add("", err)
	if !removed && purge {
		left.add(settings.data(), errors.New("containers still stand on it"))
	}
	fmt.Fprintln(out, "-----> Remove   firewall rules")
	if kept := closeFirewall(ctx, items, out, &left); len(kept) < len(items) {
		left.add(manifestFile, writeManifest(manifestFile, kept))
	}
	fmt.Fprintln(out, "-----> Remove   files")
	removeItems(ctx, items, purge && removed, out, &left)
	if err := left.fault(purge); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nsuccess: berth is removed from this machine")
	if !purge {
		fmt.Fprintf(out, "       kept: %s and /etc/berth; install.sh finds them again\n", settings.data())
	} else if _, err := os.Stat(settings.data()); err == nil {
		fmt.Fprintf(out, "       kept: %s, which install.sh did not make\n", settings.data())
	}
	fmt.Fprintln(out, "       kept: Debian packages (containerd, runc, git and others)")
	return nil
}

// leftovers are what could not be removed, and why.
type leftovers []string

// add notes an error that concerns what; an error that joins others is noted as those.
func (l *leftovers) add(what string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			l.add(what, one)
		}
		return
	}
	if err == nil {
		return
	}
	if what != "" {
		err = fmt.Errorf("%s: %w", what, err)
	}
	*l = append(*l, err.Error())
}

// fault names what is left; nil when nothing is.
func (l leftovers) fault(purge bool) error {
	if len(l) == 0 {
		return nil
	}
	again := "berth uninstall"
	if purge {
		again += " --purge"
	}
	return fault.New(fault.Failed, code.UninstallIncomplete, "berth is stopped, but not all of it could be removed").With(l...).
		Hint("everything else is removed; fix what is listed above and run it again: %s", again)
}

// item is one line of the manifest.
type item struct {
	kind string // "file", "directory", "user", "unit", "firewall"
	name string
}

// readManifest reads what install.sh recorded, in its order.
func readManifest(name string) ([]item, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var items []item
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		kind, what, ok := strings.Cut(lines.Text(), " ")
		known := slices.Contains([]string{"file", "directory", "user", "unit", "firewall"}, kind)
		if !ok || !known || isPath(kind) && !removable(what) || kind == "firewall" && !openingCommand.MatchString(what) {
			return nil, fmt.Errorf("read %s: line %d makes no sense: %q", name, n, lines.Text())
		}
		items = append(items, item{kind, what})
	}
	return items, lines.Err()
}

// writeManifest replaces the manifest.
func writeManifest(name string, items []item) error {
	var text strings.Builder
	for _, it := range items {
		fmt.Fprintf(&text, "%s %s\n", it.kind, it.name)
	}
	if err := os.WriteFile(name+".new", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// isData tells what only purge removes.
func (it item) isData() bool {
	return it.kind == "user" || slices.ContainsFunc([]string{"/etc/berth", "/var/lib/berth"}, func(dir string) bool {
		return it.name == dir || strings.HasPrefix(it.name, dir+"/")
	})
}

// isUninstalls tells whether the next run of uninstall needs it.
func (it item) isUninstalls() bool {
	return it.kind == "file" && it.name == programFile || it.name == "/etc/berth" || strings.HasPrefix(it.name, "/etc/berth/")
}

func isPath(kind string) bool { return kind == "file" || kind == "directory" }

// removable guards against a damaged manifest: only an absolute path without
// detours, at least two names deep, is ever removed.
func removable(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && strings.Count(path, "/") >= 2
}

// settings are the lines of berth.env.
type settings map[string]string

func readSettings(name string) (settings, error) {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := settings{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			s[key] = strings.Trim(value, `"`)
		}
	}
	return s, nil
}

func (s settings) get(name, fallback string) string {
	if v := s[name]; v != "" {
		return v
	}
	return fallback
}

func (s settings) data() string { return s.get("BERTH_DATA", defaultData) }

func (s settings) engine() runtime.Config {
	return runtime.Config{
		Containerd: s.get("BERTH_CONTAINERD", "auto"),
		Root:       s.get("BERTH_ENGINE", filepath.Join(s.data(), "engine")),
		State:      s.get("BERTH_STATE", defaultState),
		Init:       "/proc/self/exe", // not used: nothing is started any more
		Bridge:     s["BERTH_BRIDGE"],
		Subnet:     s["BERTH_SUBNET"],
	}
}

// stopService stops berth and keeps it from coming back at the next boot.
func stopService(ctx context.Context, items []item) error {
	units := unitsThere(items, unitDir)
	if len(units) > 0 {
		return run(ctx, "systemctl", append([]string{"disable", "--now"}, units...)...)
	}
	if _, err := os.Stat(serviceCommand); err == nil {
		return run(ctx, serviceCommand, "stop")
	}
	return nil
}

// unitsThere are the units whose files an earlier run has not removed already.
func unitsThere(items []item, dir string) (units []string) {
	for _, it := range items {
		if it.kind != "unit" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, it.name)); err == nil {
			units = append(units, it.name)
		}
	}
	return units
}

// removeContainers ends every app through containerd itself, since berth is
// stopped by now and cannot start them again behind our back. It goes on past
// what it cannot remove; removed tells whether no container is left.
func removeContainers(ctx context.Context, cfg runtime.Config, purge bool, out io.Writer) (removed bool, err error) {
	if _, err := os.Stat(cfg.Root); errors.Is(err, fs.ErrNotExist) {
		return true, nil // berth never came up
	}
	engine, err := runtime.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return false, fmt.Errorf("reach containerd: %w", err)
	}
	defer engine.Close()
	containers, err := engine.Containers(ctx)
	if err != nil {
		return false, err
	}
	var errs []error
	gone := 0
	for _, c := range containers {
		if err := c.Remove(ctx); err != nil {
			errs = append(errs, fmt.Errorf("remove container %s: %w", c.ID, err))
		} else {
			gone++
		}
	}
	fmt.Fprintf(out, "       %d removed\n", gone)
	if len(errs) > 0 {
		return false, errors.Join(errs...)
	}
	if purge {
		if err := removeLayers(ctx, engine); err != nil {
			errs = append(errs, err)
		} else {
			errs = append(errs, engine.RemoveNamespace(ctx))
		}
	}
	return true, errors.Join(append(errs, engine.Shutdown(ctx))...)
}

// removeLayers removes all layers, from the top of each chain down. In a
// containerd that is not ours alone nothing else would ever remove them.
func removeLayers(ctx context.Context, engine *runtime.Engine) error {
	if err := images.New(engine, slog.New(slog.DiscardHandler)).RemoveCaches(ctx); err != nil { // they stand on layers
		return err
	}
	for {
		layers, err := engine.Layers(ctx)
		if err != nil || len(layers) == 0 {
			return err
		}
		below := map[string]bool{}
		for _, l := range layers {
			below[l.Parent] = true
		}
		removed := 0
		for _, l := range layers {
			if below[l.Key] {
				continue
			}
			if err := engine.RemoveLayer(ctx, l.Key); err != nil {
				return fmt.Errorf("remove layer %s: %w", l.Key, err)
			}
			removed++
		}
		if removed == 0 {
			return fmt.Errorf("remove layers: %d stand on each other in a circle", len(layers))
		}
	}
}

// removeItems removes what the manifest lists, what was made last first, and
// goes on past what it cannot remove. What stays without purge is there for an
// install.sh that comes back. What uninstall itself needs goes last, and only
// when nothing is left.
func removeItems(ctx context.Context, items []item, purge bool, out io.Writer, left *leftovers) {
	if purge {
		// Not in the manifest: berth makes it at each start.
		items = append(items, item{"directory", defaultState})
	}
	var own []item
	for _, it := range slices.Backward(items) {
		switch {
		case it.isData() && !purge:
		case it.isUninstalls():
			own = append(own, it)
		default:
			removeItem(ctx, it, out, left)
		}
	}
	if slices.ContainsFunc(items, func(it item) bool { return it.kind == "unit" }) {
		left.add("", run(ctx, "systemctl", "daemon-reload"))
	}
	if len(*left) > 0 {
		return
	}
	for _, it := range own {
		removeItem(ctx, it, out, left)
	}
}

func removeItem(ctx context.Context, it item, out io.Writer, left *leftovers) {
	var err error
	switch it.kind {
	case "unit", "firewall":
		return // the unit's file stands in the manifest too, and closeFirewall was here before
	case "user":
		if _, missing := user.Lookup(it.name); missing != nil {
			return // removed by an earlier run
		}
		err = run(ctx, "userdel", it.name)
	default:
		if _, missing := os.Lstat(it.name); errors.Is(missing, fs.ErrNotExist) {
			return
		}
		err = removeTree(it.name)
	}
	if err != nil {
		left.add(it.kind+" "+it.name, err)
		return
	}
	fmt.Fprintf(out, "       %s %s\n", it.kind, it.name)
}

// removeTree removes a file or a directory. What is mounted beneath it is
// unmounted first, lest we delete through a mount.
func removeTree(path string) error {
	mounts, err := mountsBelow(path)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return os.RemoveAll(path)
}

// mountsBelow returns the mount points at and below path, the last mounted first.
func mountsBelow(path string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape.Replace(fields[4])
		if point == path || strings.HasPrefix(point, path+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	return points, nil
}

// run runs a program; its error carries what the program said.
func run(ctx context.Context, name string, args ...string) error {
	output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
