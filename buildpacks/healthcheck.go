package buildpacks

import (
	"regexp"
	"strings"
)

// HealthCheck is one entry of app.json's healthchecks, in Dokku's words and
// with its defaults filled in. It is one of four kinds: Command, Path,
// Listening or Uptime is set.
type HealthCheck struct {
	Name         string
	Type         string // "startup", "readiness", "liveness"
	Path         string
	Port         int    // 0 is the one the process listens on
	Scheme       string // "http" or "https"
	Content      string
	Command      []string
	Headers      [][2]string
	Listening    bool
	Uptime       int // seconds, like all that follow but Attempts
	Attempts     int
	Timeout      int
	Wait         int
	InitialDelay int
	Warn         bool // a failure is told and does not count
}

// Dokku's defaults.
const (
	defaultAttempts = 3
	defaultTimeout  = 5
	defaultWait     = 5
)

func (m *Manifest) healthchecks(v jsonValue) error {
	const want = `"healthchecks": {"web": [{"path": "/health"}]}`
	types, err := v.object(want)
	if err != nil {
		return err
	}
	m.Health = map[string][]HealthCheck{}
	for _, f := range types {
		if err := f.processType(); err != nil {
			return err
		}
		items, err := f.list(want, maxChecks)
		if err != nil {
			return err
		}
		for _, item := range items {
			check, err := item.healthCheck(want)
			if err != nil {
				return err
			}
			m.Health[f.name] = append(m.Health[f.name], check)
		}
	}
	return nil
}

func (v jsonValue) healthCheck(want string) (HealthCheck, error) {
	c := HealthCheck{Type: "startup", Scheme: "http", Attempts: defaultAttempts, Timeout: defaultTimeout, Wait: defaultWait}
	if v.null() {
		return c, v.wrong("an object")
	}
	fields, err := v.object(want)
	if err != nil {
		return c, err
	}
	var kinds []string
	for _, f := range fields {
		if f.null() {
			continue
		}
		switch f.name {
		case "name":
			c.Name, err = f.text()
		case "type":
			if c.Type, err = f.text(); c.Type == "" && err == nil {
				c.Type = "startup"
			} else if err == nil {
				c.Type, err = f.oneOf("startup", "liveness", "readiness")
			}
		case "path":
			if c.Path, err = f.text(); err == nil {
				err = f.requestPath(c.Path)
			}
			kinds = append(kinds, f.name)
		case "command":
			c.Command, err = f.command()
			kinds = append(kinds, f.name)
		case "listening":
			if c.Listening, err = f.flag(); c.Listening {
				kinds = append(kinds, f.name)
			}
		case "uptime":
			if c.Uptime, err = f.integer(0, maxSeconds); c.Uptime > 0 {
				kinds = append(kinds, f.name)
			}
		case "content":
			c.Content, err = f.text()
		case "httpHeaders":
			c.Headers, err = f.headers()
		case "port":
			c.Port, err = f.integer(1, 65535)
		case "scheme":
			c.Scheme, err = f.oneOf("http", "https")
		case "warn":
			c.Warn, err = f.flag()
		case "attempts":
			c.Attempts, err = f.integer(1, 1000)
		case "timeout":
			c.Timeout, err = f.integer(1, maxSeconds)
		case "wait":
			c.Wait, err = f.integer(0, maxSeconds)
		case "initialDelay":
			c.InitialDelay, err = f.integer(0, maxSeconds)
		}
		if err != nil {
			return c, err
		}
	}
	switch len(kinds) {
	case 1:
		return c, nil
	case 0:
		if c.Content != "" || c.Headers != nil {
			c.Path = "/" // Dokku's default for what only a request can check
			return c, nil
		}
		return c, v.bad("checks nothing").hint("give it one of path, command, listening or uptime")
	}
	return c, v.bad("has %s; a check is of one kind", strings.Join(kinds, " and ")).
		hint("make it %d checks", len(kinds))
}

func (v jsonValue) requestPath(s string) error {
	if !strings.HasPrefix(s, "/") {
		return v.bad("is %q and should begin with /", printable(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r == 0x7f }) {
		return v.bad("has a blank or control character in it").hint("write a blank as %%20")
	}
	return nil
}

func (v jsonValue) command() ([]string, error) {
	if s, ok := v.value.(string); ok {
		return nil, v.wrong("a list of strings").hint(`write it as ["bash", "-c", %q]`, printable(s))
	}
	items, err := v.list(`["python", "check.py"]`, 100)
	if err != nil {
		return nil, err
	}
	var args []string
	for _, item := range items {
		arg, err := item.text()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	if len(args) == 0 || args[0] == "" {
		return nil, v.bad("names no program")
	}
	return args, nil
}

// headerName is a token of RFC 9110, 5.6.2.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (v jsonValue) headers() ([][2]string, error) {
	const want = `[{"name": "Host", "value": "example.com"}]`
	items, err := v.list(want, 50)
	if err != nil {
		return nil, err
	}
	var headers [][2]string
	for _, item := range items {
		fields, err := item.object(want)
		if err != nil {
			return nil, err
		}
		var h [2]string
		for _, f := range fields {
			switch f.name {
			case "name":
				if h[0], err = f.text(); err == nil && !headerName.MatchString(h[0]) {
					err = f.bad("is %q, which cannot name a header", printable(h[0]))
				}
			case "value":
				if h[1], err = f.text(); err == nil && strings.ContainsAny(h[1], "\r\n") {
					err = f.bad("has a line break in it")
				}
			}
			if err != nil {
				return nil, err
			}
		}
		if h[0] == "" {
			return nil, item.bad("has no name").hint("write it as %s", want)
		}
		headers = append(headers, h)
	}
	return headers, nil
}
