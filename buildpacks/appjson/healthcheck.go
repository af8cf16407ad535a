package appjson

import (
	"strings"

	"github.com/berthd/berth/buildpacks/source"
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

func (m *Manifest) healthchecks(v source.JSON) error {
	const want = `"healthchecks": {"web": [{"path": "/health"}]}`
	types, err := v.Object(want)
	if err != nil {
		return err
	}
	m.Health = map[string][]HealthCheck{}
	for _, f := range types {
		if err := processType(f); err != nil {
			return err
		}
		items, err := f.List(want, maxChecks)
		if err != nil {
			return err
		}
		for _, item := range items {
			check, err := healthCheck(item, want)
			if err != nil {
				return err
			}
			m.Health[f.Name] = append(m.Health[f.Name], check)
		}
	}
	return nil
}

func healthCheck(v source.JSON, want string) (HealthCheck, error) {
	c := HealthCheck{Type: "startup", Scheme: "http", Attempts: defaultAttempts, Timeout: defaultTimeout, Wait: defaultWait}
	if v.Null() {
		return c, v.Wrong("an object")
	}
	fields, err := v.Object(want)
	if err != nil {
		return c, err
	}
	var kinds []string
	for _, f := range fields {
		if f.Null() {
			continue
		}
		switch f.Name {
		case "name":
			c.Name, err = f.Text()
		case "type":
			if c.Type, err = f.Text(); c.Type == "" && err == nil {
				c.Type = "startup"
			} else if err == nil {
				c.Type, err = f.OneOf("startup", "liveness", "readiness")
			}
		case "path":
			if c.Path, err = f.Text(); err == nil {
				err = requestPath(f.JSON, c.Path)
			}
			kinds = append(kinds, f.Name)
		case "command":
			c.Command, err = command(f.JSON)
			kinds = append(kinds, f.Name)
		case "listening":
			if c.Listening, err = f.Flag(); c.Listening {
				kinds = append(kinds, f.Name)
			}
		case "uptime":
			if c.Uptime, err = f.Integer(0, maxSeconds); c.Uptime > 0 {
				kinds = append(kinds, f.Name)
			}
		case "content":
			c.Content, err = f.Text()
		case "httpHeaders":
			c.Headers, err = headers(f.JSON)
		case "port":
			c.Port, err = f.Integer(1, 65535)
		case "scheme":
			c.Scheme, err = f.OneOf("http", "https")
		case "warn":
			c.Warn, err = f.Flag()
		case "attempts":
			c.Attempts, err = f.Integer(1, 1000)
		case "timeout":
			c.Timeout, err = f.Integer(1, maxSeconds)
		case "wait":
			c.Wait, err = f.Integer(0, maxSeconds)
		case "initialDelay":
			c.InitialDelay, err = f.Integer(0, maxSeconds)
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
		return c, v.Bad("checks nothing").Hint("give it one of path, command, listening or uptime")
	}
	return c, v.Bad("has %s; a check is of one kind", strings.Join(kinds, " and ")).
		Hint("make it %d checks", len(kinds))
}

func requestPath(v source.JSON, s string) error {
	if !strings.HasPrefix(s, "/") {
		return v.Bad("is %q and should begin with /", source.Printable(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r == 0x7f }) {
		return v.Bad("has a blank or control character in it").Hint("write a blank as %%20")
	}
	return nil
}

func command(v source.JSON) ([]string, error) {
	if s := v.String(); v.IsString() {
		return nil, v.Wrong("a list of strings").Hint(`write it as ["bash", "-c", %q]`, source.Printable(s))
	}
	items, err := v.List(`["python", "check.py"]`, 100)
	if err != nil {
		return nil, err
	}
	var args []string
	for _, item := range items {
		arg, err := item.Text()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	if len(args) == 0 || args[0] == "" {
		return nil, v.Bad("names no program")
	}
	return args, nil
}

// headerName is a token of RFC 9110, 5.6.2.
var headerName = source.NewPattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func headers(v source.JSON) ([][2]string, error) {
	const want = `[{"name": "Host", "value": "example.com"}]`
	items, err := v.List(want, 50)
	if err != nil {
		return nil, err
	}
	var headers [][2]string
	for _, item := range items {
		fields, err := item.Object(want)
		if err != nil {
			return nil, err
		}
		var h [2]string
		for _, f := range fields {
			switch f.Name {
			case "name":
				if h[0], err = f.Text(); err == nil && !headerName.MatchString(h[0]) {
					err = f.Bad("is %q, which cannot name a header", source.Printable(h[0]))
				}
			case "value":
				if h[1], err = f.Text(); err == nil && strings.ContainsAny(h[1], "\r\n") {
					err = f.Bad("has a line break in it")
				}
			}
			if err != nil {
				return nil, err
			}
		}
		if h[0] == "" {
			return nil, item.Bad("has no name").Hint("write it as %s", want)
		}
		headers = append(headers, h)
	}
	return headers, nil
}
