package verbs

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// DokkuVersion is the Dokku whose grammar the commands are held to.
const DokkuVersion = "0.38.0"

// dokkuNoun is a noun of Dokku's commands, of its core and of the plugins that
// its makers keep.
type dokkuNoun struct {
	noun  string
	verbs string // what Dokku has of it, without the noun; "-" is the noun alone
	// instead says what does the work here, of those that berth has not. Commands
	// stand in it as "berth NOUN:VERB". Empty is the list of berth's own of the noun.
	instead string
	but     map[string]string // the same for single ones
}

const rebuiltNetwork = "the rules of the network follow the containers and are repaired by themselves; berth network:report shows what is allowed"

// dokku is the table of what Dokku has, from which hints and docs/dokku.md are
// made. What berth has under the same name is not noted here: the commands
// themselves tell.
var dokku = []dokkuNoun{
	{noun: "apps", verbs: "- clone create destroy exists list lock locked rename report set unlock",
		but: map[string]string{"set": "apps have no properties of their own: see berth git:set, berth builder:set, berth ps:set and berth router:set"}},
	{noun: "app-json", verbs: "- report set", instead: "app.json is read in the build directory: berth builder:set APP build-dir DIR"},
	{noun: "builder", verbs: "- report set"},
	{noun: "builder-dockerfile", verbs: "- report set", instead: builders},
	{noun: "builder-herokuish", verbs: "- report set", instead: builders},
	{noun: "builder-lambda", verbs: "- report set", instead: "AWS Lambda is not supported; a web process of a Procfile serves requests"},
	{noun: "builder-nixpacks", verbs: "- report set", instead: builders},
	{noun: "builder-pack", verbs: "- report set", instead: builders},
	{noun: "builder-railpack", verbs: "- report set", instead: builders},
	{noun: "buildpacks", verbs: "- add clear detect list remove report set set-property",
		instead: "list buildpacks in .buildpacks or app.json; berth builder:set APP selected NAME chooses another builder, berth builds:plan APP shows the plan of a build"},
	{noun: "builds", verbs: "- cancel info list output prune report set",
		but: map[string]string{"report": "berth builds:list APP", "set": "berth keeps the builds that releases need"}},
	{noun: "certs", verbs: "- add generate remove report show update"},
	{noun: "checks", verbs: "- disable enable report run set skip"},
	{noun: "cleanup", verbs: "-"},
	{noun: "config", verbs: "- bundle clear export get import keys set show unset"},
	{noun: "cron", verbs: "- list report resume run set suspend"},
	{noun: "deploy", verbs: "-", instead: "git push deploys, and berth ps:rebuild APP builds what is live again"},
	{noun: "docker-options", verbs: "- add clear list remove report",
		instead: "berth does not use Docker: berth ports:add opens ports, berth resource:limit sets limits, a Dockerfile contains the rest"},
	{noun: "domains", verbs: "- add add-global clear clear-global disable enable remove remove-global report reset set set-global setup",
		but: map[string]string{"setup": "an app has a default host from the start: berth domains:reset APP restores it"}},
	{noun: "enter", verbs: "-", instead: "berth run APP bash opens a shell in a fresh container of the release"},
	{noun: "events", verbs: "- list off on", but: map[string]string{"off": "events are always recorded; berth events shows them"}},
	{noun: "git", verbs: "- allow-host auth auth-status from-archive from-image generate-deploy-key initialize load-image public-key report set status sync unlock",
		but: map[string]string{
			"initialize": "an app has a repository from the start: berth apps:create APP",
			"unlock":     "pushes leave no lock behind; berth builds:cancel APP ends one that hangs",
		}},
	{noun: "help", verbs: "-"},
	{noun: "letsencrypt", verbs: "- active auto-renew cleanup cron-job disable enable help list report revoke set"},
	{noun: "logs", verbs: "- failed report set vector-logs vector-start vector-stop",
		but: map[string]string{
			"report": "logs are kept on the machine, of bounded size: berth logs APP",
			"set":    "logs are kept on the machine, of bounded size: berth logs APP",
		}, instead: "berth does not ship logs; a program can follow them with berth logs APP -f --format json"},
	{noun: "network", verbs: "- create destroy exists info list rebuild rebuildall report set",
		instead: "an app reaches another one by consent: berth network:allow FROM TO, berth network:report shows what is allowed",
		but: map[string]string{
			"destroy": "berth network:deny FROM TO takes back what an app may reach", "rebuild": rebuiltNetwork, "rebuildall": rebuiltNetwork,
		}},
	{noun: "nginx", verbs: "- access-logs error-logs reload report set show-conf show-config start stop validate validate-config",
		instead: "berth has its own router: berth router:set APP, berth router:report APP, berth router:logs APP"},
	{noun: "plugin", verbs: "- disable enable install install-dependencies installed list trigger uninstall update",
		instead: "berth has no plugins; Let's Encrypt, maintenance, redirects and HTTP authentication are part of it: berth help"},
	{noun: "ports", verbs: "- add clear list remove report set"},
	{noun: "proxy", verbs: "- build-config clear-config disable enable ports ports-add ports-clear ports-remove ports-set report set",
		instead: "berth has its own router: berth router:set APP; berth domains:disable APP disables it for an app, berth ports:add adds TCP ports"},
	{noun: "ps", verbs: "- inspect rebuild report restart restore retire scale set start stop",
		but: map[string]string{"inspect": "berth ps:report APP --format json"}},
	{noun: "registry", verbs: "- login logout report set",
		but: map[string]string{"set": "images stay on this machine and are not pushed"}},
	{noun: "repo", verbs: "- gc purge-cache", instead: "berth cleans repositories up by itself; berth builds:cache APP shows the build caches"},
	{noun: "report", verbs: "-"},
	{noun: "resource", verbs: "- limit limit-clear report reserve reserve-clear"},
	{noun: "run", verbs: "- detached list logs retire stop"},
	{noun: "scheduler", verbs: "- report set", instead: oneScheduler},
	{noun: "scheduler-docker-local", verbs: "- report set", instead: oneScheduler},
	{noun: "scheduler-k3s", verbs: "- report set initialize cluster:add cluster:list cluster:remove", instead: oneScheduler},
	{noun: "shell", verbs: "-", instead: "run each command on its own: ssh berth@HOST COMMAND"},
	{noun: "ssh-keys", verbs: "- add list remove"},
	{noun: "storage", verbs: "- create destroy ensure-directory exec info list list-entries migrate mount report set unmount wait annotations:report annotations:set labels:report labels:set"},
	{noun: "trace", verbs: "- on off", instead: "use the flag --trace before or after any command"},
	{noun: "url", verbs: "-"},
	{noun: "urls", verbs: "-"},
	{noun: "version", verbs: "-"},

	// Plugins.
	{noun: "acl", verbs: "add add-service list list-service remove remove-service", instead: "bind a key to an app: berth ssh-keys:add NAME --app APP"},
	{noun: "caddy", verbs: proxies, instead: ownRouter},
	{noun: "global-cert", verbs: "- generate remove report set show", instead: "add a certificate to an app or a host: berth certs:add HOST CRT KEY"},
	{noun: "haproxy", verbs: proxies, instead: ownRouter},
	{noun: "http-auth", verbs: "- add-allowed-ip add-user disable enable off on remove-allowed-ip remove-user report show-config"},
	{noun: "maintenance", verbs: "- custom-page disable enable off on report",
		instead: "put the page into .berth/maintenance.html of the repository, or use berth router:set APP maintenance-page FILE"},
	{noun: "openresty", verbs: proxies, instead: ownRouter},
	{noun: "redirect", verbs: "- set unset", instead: "berth domains:report APP shows them"},
	{noun: "traefik", verbs: proxies, instead: ownRouter},

	// Data services: each plugin has the same verbs.
	{noun: "clickhouse", verbs: services, instead: noServices},
	{noun: "couchdb", verbs: services, instead: noServices},
	{noun: "elasticsearch", verbs: services, instead: noServices},
	{noun: "graphite", verbs: services, instead: noServices},
	{noun: "mariadb", verbs: services, instead: noServices},
	{noun: "meilisearch", verbs: services, instead: noServices},
	{noun: "memcached", verbs: services, instead: noServices},
	{noun: "mongo", verbs: services, instead: noServices},
	{noun: "mysql", verbs: services, instead: noServices},
	{noun: "nats", verbs: services, instead: noServices},
	{noun: "omnisci", verbs: services, instead: noServices},
	{noun: "postgres", verbs: services, instead: noServices},
	{noun: "pushpin", verbs: services, instead: noServices},
	{noun: "rabbitmq", verbs: services, instead: noServices},
	{noun: "redis", verbs: services, instead: noServices},
	{noun: "rethinkdb", verbs: services, instead: noServices},
	{noun: "solr", verbs: services, instead: noServices},
	{noun: "typesense", verbs: services, instead: noServices},
	{noun: "valkey", verbs: services, instead: noServices},
}

const (
	builders     = "berth builder:set APP selected NAME chooses the builder, berth builder:report APP shows it"
	oneScheduler = "berth schedules containers by itself on this machine: berth ps:report APP shows them"
	ownRouter    = "berth has its own router: berth router:set APP, berth router:report APP"
	proxies      = "- logs report set show-config start stop"
	noServices   = "berth has no data services; set the URL of one on another machine: berth config:set APP DATABASE_URL=..."
	services     = "- app-links backup backup-auth backup-deauth backup-schedule backup-schedule-cat backup-set-encryption " +
		"backup-set-public-key-encryption backup-unschedule backup-unset-encryption backup-unset-public-key-encryption " +
		"clone connect create destroy enter exists export expose import info link linked links list logs pause promote " +
		"restart set start stop unexpose unlink upgrade"
)

// DokkuDone are commands of Dokku's whose work berth does by itself: a script
// that has them goes on. It says by name what berth does.
var DokkuDone = map[string]string{
	"builds:prune": "berth deletes builds that no release needs",
	"cleanup":      "berth deletes unused containers, layers and caches",
	"events:on":    "events are always recorded; berth events shows them",
	"ps:restore":   "berth starts all apps when it starts",
	"ps:retire":    "berth stops replaced instances when their requests have ended",
	"repo:gc":      "berth cleans repositories up after pushes",
}

// DokkuVerb is a command of Dokku's.
type DokkuVerb struct {
	Noun, Name string
	// Instead says what berth has for it, where that has not the same name.
	Instead string
}

// DokkuVerbs returns all of Dokku's commands. names are berth's own.
func DokkuVerbs(names []string) iter.Seq[DokkuVerb] {
	return func(yield func(DokkuVerb) bool) {
		for _, n := range dokku {
			for _, verb := range strings.Fields(n.verbs) {
				v := DokkuVerb{Noun: n.noun, Name: n.noun}
				if verb != "-" {
					v.Name += ":" + verb
				}
				if !slices.Contains(names, v.Name) {
					v.Instead = cmp.Or(n.but[verb], n.instead, ofNoun(n.noun, names))
				}
				if !yield(v) {
					return
				}
			}
		}
	}
}

// ofNoun lists berth's own commands of a noun; "" is that it has none.
func ofNoun(noun string, names []string) string {
	var own []string
	for _, name := range names {
		if strings.HasPrefix(name, noun+":") {
			own = append(own, "berth "+name)
		}
	}
	if len(own) == 0 {
		return ""
	}
	slices.Sort(own)
	return fmt.Sprintf("commands of %s: %s", noun, strings.Join(own, ", "))
}

// Advise says what to use in place of a command that there is not: of a command
// of Dokku's what does its work here, else the nearest name of the same noun.
// names are the commands that there are.
func Advise(word string, names []string) (hints []string) {
	noun, verb, _ := strings.Cut(word, ":")
	for v := range DokkuVerbs(names) {
		if v.Name == word && v.Instead != "" {
			return []string{v.Instead, "docs/dokku.md has every command of Dokku's"}
		}
	}
	if near := NearestVerb(word, names); near != "" {
		return []string{fmt.Sprintf("did you mean %q?", near)}
	}
	for _, n := range dokku { // a verb that Dokku has not, of a noun that only Dokku has
		if n.noun == noun && verb != "" && n.instead != "" && ofNoun(noun, names) == "" {
			return []string{n.instead}
		}
	}
	if own := ofNoun(noun, names); own != "" {
		return []string{own}
	}
	return []string{"berth help lists them"}
}
