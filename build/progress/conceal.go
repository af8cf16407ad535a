package progress

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// What a command prints is kept with its build and seen by whoever may see
// builds, who need not be the one who may see config. Commands print their
// environment more often than one thinks: in a stack trace, under `set -x`, as
// the URL of a package index with its password. So the values of secrets are
// taken out of what they print, as the large CI services do it. It is a net for
// accidents: a command that wants to give a secret away can write it backwards.

const (
	concealed = "[secret]"

	// minSecret is the shortest value, in bytes, that is looked for. Shorter
	// ones stand in innocent words.
	minSecret = 6
)

// secretName is the name of a variable whose value is a secret.
var secretName = regexp.MustCompile(`(?i)(^|_)(\w*(password|passwd|passphrase|secret|token|credential)s?|pass|pwd|auth|key|private|dsn)(_|\d*$)`)

// secretsOf returns what of a config is a secret: by the variable's name, or
// because it is a URL with a password.
func secretsOf(config map[string]string) (values []string) {
	add := func(value string) {
		if value = strings.TrimSpace(value); len(value) >= minSecret && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	for name, value := range config {
		if u, err := url.Parse(value); err == nil && u.Host != "" && u.User != nil {
			if password, ok := u.User.Password(); ok {
				add(value)
				add(password)
				_, raw, _ := strings.Cut(u.User.String(), ":")
				add(raw)
				continue
			}
		}
		if secretName.MatchString(name) {
			for line := range strings.Lines(value) { // a key in PEM is printed line by line
				add(line)
			}
		}
	}
	slices.SortFunc(values, func(a, b string) int { // the longest first, for it may hold another
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	return values
}

// Conceal keeps the secrets of a config out of what commands print from now on,
// and out of the report of their failure.
func (r *Report) Conceal(config map[string]string) {
	var pairs []string
	for _, value := range secretsOf(config) {
		pairs = append(pairs, value, concealed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = strings.NewReplacer(pairs...)
}

// without returns a fault whose evidence, which may be a command's last words,
// holds no secret.
func (r *Report) without(f *fault.Error) fault.Error {
	shown := *f
	if r.secrets != nil {
		shown.Evidence = slices.Clone(f.Evidence)
		for i, line := range shown.Evidence {
			shown.Evidence[i] = r.secrets.Replace(line)
		}
	}
	return shown
}
