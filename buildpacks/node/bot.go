package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// botPackages are packages with which a program asks a service for its events: it
// listens on no port.
var botPackages = []string{"discord.js", "eris", "oceanic.js", "@discordeno/bot", "discordeno", "telegraf", "grammy", "node-telegram-bot-api", "telegram",
	"tmi.js", "@twurple/chat", "whatsapp-web.js", "@whiskeysockets/baileys", "matrix-bot-sdk", "revolt.js", "mineflayer", "@slack/socket-mode", "@slack/bolt"}

// listens finds a server in the source, and socketMode what makes an app of
// Slack's do without.
var (
	listens    = source.NewPattern(`\.listen\s*\(|createServer\s*\(|\bserve\s*\(|webhookCallback|createWebhook|process\.env\.PORT`)
	socketMode = source.NewPattern(`socketMode\s*:\s*true`)
)

// maxBotFiles bounds the files that are read to tell a bot from a server.
const maxBotFiles = 300

// isBot tells whether the app only asks a service for its events: it has a
// package for that, and nothing that serves.
func (p *project) isBot() bool {
	if p.app.title != "" || len(p.app.site) > 0 || !slices.ContainsFunc(botPackages, func(pkg string) bool { _, ok := p.file.deps[pkg]; return ok }) {
		return false
	}
	serves, socket, left := false, false, maxBotFiles
	skip := func(dir string) bool {
		return path.Base(dir) == "node_modules" || strings.HasPrefix(path.Base(dir), ".")
	}
	p.tree.Walk(skip, func(name string) {
		if !slices.Contains([]string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}, path.Ext(name)) {
			return
		}
		if left--; left < 0 {
			serves = true // too many to read: it is taken for a server
			return
		}
		if data, err := p.tree.Read(name, maxConfig); err == nil {
			text := string(data)
			serves, socket = serves || listens.MatchString(text), socket || socketMode.MatchString(text)
		}
	})
	if _, bolt := p.file.deps["@slack/bolt"]; bolt {
		return socket && !serves
	}
	return !serves
}
