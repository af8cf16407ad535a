package runtime

import (
	_ "embed"
	"os"
	"path/filepath"
)

//go:embed reach.sh
var reachScript string

// ReachArchives is a command for a root layer's container. It fails within 20 s
// when the archives that apt reads from cannot be reached, and prints which host
// it is.
func ReachArchives() Command { return Command{Args: []string{"bash", "-c", reachScript}} }

// reachHook writes the same as a program that mmdebstrap calls before it asks
// the archives, and returns its path.
func reachHook(dir string) (string, error) {
	path := filepath.Join(dir, "reach")
	return path, os.WriteFile(path, []byte("#!/bin/bash\n"+reachScript), 0o700)
}
