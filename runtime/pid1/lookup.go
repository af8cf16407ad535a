package pid1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is where programs are looked for when the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var errNotFound = errors.New("not found in PATH")

// lookUp finds the program as the user would: with the user's own rights, since
// root without CAP_DAC_OVERRIDE may see less of /app than its owner, and more
// of the rest than the program will.
func lookUp(file, dir string, env []string, uid, gid int) (string, error) {
	if uid != 0 {
		unix.Setfsgid(gid)
		unix.Setfsuid(uid)
		defer unix.Setfsgid(0)
		defer unix.Setfsuid(0)
	}
	if st, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("directory %s: %w", dir, bare(err))
	} else if !st.IsDir() {
		return "", fmt.Errorf("directory %s: %w", dir, syscall.ENOTDIR)
	}
	if strings.Contains(file, "/") {
		path := absolute(file, dir)
		if err := executable(path); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		return path, nil
	}

	search := defaultPath
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = value
		}
	}
	var refused error
	for _, entry := range filepath.SplitList(search) {
		path := absolute(entry, dir) + "/" + file
		err := executable(path)
		if err == nil {
			return path, nil
		}
		// Like a shell: one that may not be run does not hide one further on.
		if refused == nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			refused = fmt.Errorf("%s: %w", path, err)
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("%s: %w (%s)", file, errNotFound, search)
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return dir + "/" + path // not cleaned: x/.. is not . where x is a symbolic link
}

// executable returns why this thread's user cannot execute path, or nil.
func executable(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return bare(err)
	}
	if !st.Mode().IsRegular() {
		return errors.New("not a file")
	}
	err = unix.Faccessat2(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		err = nil // a kernel or seccomp profile that does not know the call; the mode is nearly as good
		if st.Mode().Perm()&0o111 == 0 {
			err = unix.EACCES
		}
	}
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("not executable (mode %04o): %w", st.Mode().Perm(), err)
	}
	return err
}

// explain says what the kernel's answer to execve means for a file that is there.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		if interpreter := shebang(path); interpreter != "" {
			return fmt.Errorf("its interpreter %q (first line) is missing: %w", interpreter, err)
		}
		return fmt.Errorf("its dynamic loader is missing: %w", err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("neither a program for %s nor a script with a #! line: %w", runtime.GOARCH, err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("a NUL in the arguments or the environment: %w", err)
	}
	return err
}

// shebang returns the interpreter that a script asks for.
func shebang(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return ""
	}
	return strings.TrimSpace(line)
}

// bare takes the path off an error whose message names it already.
func bare(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
