package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// botModules are modules with which a program asks a service for its events: it
// listens on no port.
var botModules = []string{"discord", "nextcord", "disnake", "hikari", "interactions", "telegram", "aiogram", "telebot", "pyrogram", "telethon",
	"slack_bolt.adapter.socket_mode", "slack_sdk.socket_mode", "twitchio", "nio", "simplematrixbotlib", "slixmpp", "vkbottle", "mautrix", "irc.bot"}

// workerModules are others whose programs wait for work of another kind.
var workerModules = []string{"apscheduler.schedulers.blocking", "schedule", "rq", "pika", "kafka", "confluent_kafka", "paho.mqtt", "watchdog", "dramatiq", "huey", "arq"}

// botCalls are what such a program calls last.
var botCalls = nameSet("run start polling start_polling run_polling infinity_polling run_until_disconnected connect idle run_forever sync_forever process")

// bot returns the script in the root that is a bot; nil is none.
func (c *code) bot() *module {
	for _, m := range c.startable() {
		if path.Dir(m.file) == "." && m.requiresAny(botModules) && slices.ContainsFunc(m.calls, func(call string) bool { return botCalls[call[strings.LastIndexByte(call, '.')+1:]] }) {
			return m
		}
	}
	return nil
}

func (m *module) requiresAny(modules []string) bool { return slices.ContainsFunc(modules, m.requires) }

// aside are files that are no program of the app's, besides tests.
var aside = nameSet("setup.py conftest.py noxfile.py fabfile.py tasks.py conf.py __init__.py manage.py settings.py config.py models.py utils.py")

// startable returns the modules that may be programs, the likeliest first.
func (c *code) startable() (mods []*module) {
	for _, m := range c.ranked() {
		if !aside[path.Base(m.file)] && !isTest(m.file) {
			mods = append(mods, m)
		}
	}
	slices.SortStableFunc(mods, func(a, b *module) int { return programRank(a) - programRank(b) })
	return mods
}

// programRank is lower for what is run: a bot's usual name, a script.
func programRank(m *module) int {
	switch base := path.Base(m.file); {
	case strings.Contains(m.file, "/"):
		return 3
	case m.script:
		return 0
	case base == "main.py" || base == "bot.py" || base == "app.py" || base == "run.py" || base == "__main__.py":
		return 1
	}
	return 2
}

// noEntry says what was looked for, and found wanting, and proposes lines of a
// Procfile that would start something.
func (p *project) noEntry(m *manifest) error {
	e := source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, and in the source for an app of Flask, Django, FastAPI",
			"or another framework, for plain WSGI or ASGI, and for a script that serves")
	var files []string
	for _, m := range p.code.ranked() {
		files = append(files, m.file)
	}
	if n := len(files); n > 0 {
		list := strings.Join(files[:min(n, 8)], ", ")
		if n > 8 {
			list += fmt.Sprintf(" and %d more", n-8)
		}
		e.With("read " + source.Printable(list))
	}
	e.With(p.tree.Notes...)
	for _, command := range p.proposals(m) {
		e.Hint("write a file named Procfile with the line: %s", command)
	}
	if len(e.Hints) == 0 {
		e.Hint("write a file named Procfile with the line: web: COMMAND")
	}
	return e.Hint("a process that answers no requests is a worker, as in worker: COMMAND").
		Hint("or assign the app at the top level of a module: app = Flask(__name__)")
}

// maxProposals bounds the lines that are proposed.
const maxProposals = 3

// proposals are lines of a Procfile that start the project's own programs, or
// else its likeliest script.
func (p *project) proposals(m *manifest) (lines []string) {
	scripts := p.entryPoints()
	for _, name := range source.SortedKeys(scripts) {
		if len(lines) == maxProposals {
			break
		}
		lines = append(lines, "web: "+p.callOf(m, name, scripts[name]))
	}
	if len(lines) > 0 {
		return lines
	}
	for _, s := range p.code.startable() {
		kind := "web"
		if s.requiresAny(botModules) || s.requiresAny(workerModules) {
			kind = "worker"
		}
		return []string{kind + ": python " + source.ShellWord(s.file)}
	}
	return nil
}

// entryPoint is a function that a program of an installed project calls.
var entryPointText = source.NewPattern(`^\s*([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_]\w*)\s*$`)

// consoleScript is one of setup.py or setup.cfg: "name = package.module:function".
var consoleScript = source.NewPattern(`(?m)^\s*["']?([A-Za-z][\w.-]*)\s*=\s*([A-Za-z_][\w.]*:[A-Za-z_]\w*)["']?\s*,?\]?\s*$`)

// entryPoints returns the programs that the project has once it is installed, and
// what they call.
func (p *project) entryPoints() map[string]string {
	scripts := map[string]string{}
	if p.file != nil && p.file.Project != nil {
		for name, target := range p.file.Project.Scripts {
			scripts[name] = target
		}
	}
	if p.file != nil && p.file.Tool.Poetry != nil {
		for name, target := range p.file.Tool.Poetry.Scripts {
			if s, ok := target.(string); ok {
				scripts[name] = s
			}
		}
	}
	for _, file := range []string{"setup.py", "setup.cfg"} {
		text, err := p.tree.Text(file, source.MaxManifest)
		if _, at, found := strings.Cut(text, "console_scripts"); err == nil && found {
			if m := consoleScript.FindStringSubmatch(strings.NewReplacer("[", "\n", ",", "\n", "]", "\n").Replace(at)); m != nil {
				scripts[m[1]] = m[2]
			}
		}
	}
	for name, target := range scripts {
		if !entryPointText.MatchString(target) || source.ShellWord(name) != name {
			delete(scripts, name)
		}
	}
	return scripts
}

// callOf returns the command that runs a program of the project: by its name
// where a process that calls it has the project installed, else as Python.
func (p *project) callOf(m *manifest, name, target string) string {
	byPyproject := p.file != nil && p.file.BuildSystem != nil && m != nil && (m.name == "pyproject.toml" || m.name == "uv.lock" || m.name == "poetry.lock")
	if byPyproject || m != nil && m.name == "setup.py" {
		return name
	}
	parts := entryPointText.FindStringSubmatch(target)
	return "python -c " + source.ShellWord("from "+parts[1]+" import "+parts[2]+"; "+parts[2]+"()")
}
