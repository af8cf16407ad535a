package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// InputPort is a port of this machine that visitors come to.
type InputPort struct {
	Number   int
	Protocol string // "tcp" or "udp"
}

// String is the port as ufw and firewalld write it: "443/tcp".
func (p InputPort) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// ClosedInputs finds which of these ports a firewall of this machine closes to
// the outside. It goes by the rules: a provider's firewall is not seen, and a
// port whose rules cannot be judged (a chain that jumps elsewhere, a rule with a
// named set) counts as open.
func ClosedInputs(ctx context.Context, ports []InputPort) (found []Finding) {
	for _, c := range closedInputs(ports, asker(ctx)) {
		var list, commands []string
		for _, p := range c.ports {
			list = append(list, p.String())
			commands = append(commands, c.opener(p))
		}
		if c.reload != "" {
			commands = append(commands, c.reload)
		}
		found = append(found, Finding{FindingInput, fmt.Sprintf("%s closes %s to the outside", c.name, strings.Join(list, ", ")), strings.Join(commands, "; ")})
	}
	return found
}

// closedInput is a chain that drops what comes to some ports.
type closedInput struct {
	name   string // of the program or the chain
	ports  []InputPort
	opener func(InputPort) string // the command that opens one
	reload string                 // the command after them, if one is needed
}

// asker runs programs for what they print. One that is missing prints nothing.
func asker(ctx context.Context) func(name string, args ...string) string {
	return func(name string, args ...string) string {
		out, _ := exec.CommandContext(ctx, name, args...).Output()
		return string(out)
	}
}

// closedInputs is ClosedInputs of what ask says programs print.
func closedInputs(ports []InputPort, ask func(name string, args ...string) string) (closed []closedInput) {
	for _, c := range baseChains("input", ask) {
		var found closedInput
		var opens func(InputPort) bool
		switch {
		case c.Table == "firewalld":
			if slices.ContainsFunc(closed, func(f closedInput) bool { return f.name == "firewalld" }) {
				continue // it has several chains, and one answer for all
			}
			zone := outsideZone(ask)
			opens = openInZone(zone, ask)
			found = closedInput{name: "firewalld", reload: "firewall-cmd --reload",
				opener: func(p InputPort) string {
					return fmt.Sprintf("firewall-cmd --permanent --zone=%s --add-port=%s", zone, p)
				}}
		case c.Family == "ip" && c.Table == "filter" && c.Name == "INPUT":
			rules := ask("iptables", "-S")
			opens = openInIPTables(rules)
			found = closedInput{name: "iptables", opener: func(p InputPort) string {
				return fmt.Sprintf("iptables -I INPUT -p %s --dport %d -j ACCEPT", p.Protocol, p.Number)
			}}
			if strings.Contains(rules, "-N ufw-user-input\n") {
				found.name, found.opener = "ufw", func(p InputPort) string { return "ufw allow " + p.String() }
			}
		default:
			at := strings.Join([]string{c.Family, c.Table, c.Name}, " ")
			opens = openInChain(c, ask("nft", "list", "chain", c.Family, c.Table, c.Name))
			found = closedInput{name: "the nftables chain " + at, opener: func(p InputPort) string {
				return fmt.Sprintf("nft insert rule %s %s dport %d accept", at, p.Protocol, p.Number)
			}}
		}
		for _, p := range ports {
			if !opens(p) {
				found.ports = append(found.ports, p)
			}
		}
		if len(found.ports) > 0 {
			closed = append(closed, found)
		}
	}
	return closed
}

// baseChains are the chains of others at a hook through which IPv4 goes.
func baseChains(hook string, ask func(name string, args ...string) string) (chains []chain) {
	var listing struct {
		Nftables []struct{ Chain *chain }
	}
	if json.Unmarshal([]byte(ask("nft", "-j", "list", "chains")), &listing) != nil {
		return nil
	}
	for _, entry := range listing.Nftables {
		c := entry.Chain
		if c != nil && c.Hook == hook && (c.Family == "ip" || c.Family == "inet") && !strings.HasPrefix(c.Table, "berth_") {
			chains = append(chains, *c)
		}
	}
	return chains
}

// outsideZone is firewalld's zone of what comes from the internet.
func outsideZone(ask func(string, ...string) string) string {
	if m := regexp.MustCompile(` dev (\S+)`).FindStringSubmatch(ask("ip", "-4", "route", "get", internetIPv4.String())); m != nil {
		if zone := strings.TrimSpace(ask("firewall-cmd", "--get-zone-of-interface="+m[1])); zone != "" {
			return zone
		}
	}
	return strings.TrimSpace(ask("firewall-cmd", "--get-default-zone"))
}

// zoneServices are the services by which firewalld's zones often open berth's ports.
var zoneServices = map[InputPort]string{{80, "tcp"}: "http", {443, "tcp"}: "https", {443, "udp"}: "http3"}

// openInZone judges ports by firewalld's own word. Without a word, as when
// firewalld was stopped and left its table, nothing counts as closed.
func openInZone(zone string, ask func(string, ...string) string) func(InputPort) bool {
	target := strings.TrimSpace(ask("firewall-cmd", "--permanent", "--zone="+zone, "--get-target"))
	return func(p InputPort) bool {
		if zone == "" || target == "" || target == "ACCEPT" {
			return true
		}
		queries := []string{"--query-port=" + p.String()}
		if service := zoneServices[p]; service != "" {
			queries = append(queries, "--query-service="+service)
		}
		return slices.ContainsFunc(queries, func(query string) bool {
			return strings.TrimSpace(ask("firewall-cmd", "--zone="+zone, query)) == "yes"
		})
	}
}

// openInIPTables judges ports by the rules that iptables -S prints: those of
// INPUT, and of the chains that it jumps to for everybody.
func openInIPTables(rules string) func(InputPort) bool {
	policy := "ACCEPT"
	chains := map[string][]iptablesRule{}
	for line := range strings.Lines(rules) {
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "-P" && words[1] == "INPUT":
			policy = words[2]
		case len(words) > 2 && words[0] == "-A":
			if r, ok := readIPTablesRule(words[2:]); ok {
				chains[words[1]] = append(chains[words[1]], r)
			}
		}
	}
	return func(p InputPort) bool {
		if verdict := judge(chains, "INPUT", p, 0); verdict != "" {
			return verdict == "ACCEPT"
		}
		return policy == "ACCEPT"
	}
}

// iptablesRule is one that holds for visitors from anywhere.
type iptablesRule struct {
	target   string
	protocol string // "" is any
	ports    string // "80,443,8000:8100"; "" is any
}

// neutralWords are options, with one value, that a rule may have and still hold
// for the first packet of any visitor.
var neutralWords = []string{"-m", "--comment", "--reject-with"}

// readIPTablesRule reads a rule without its chain; ok is false when it holds for
// some packets alone (of some address, of a connection that is there), and so
// decides nothing for a visitor.
func readIPTablesRule(words []string) (r iptablesRule, ok bool) {
	for i := 0; i+1 < len(words); i += 2 {
		switch option, value := words[i], words[i+1]; option {
		case "-j", "-g":
			r.target = value
		case "-p":
			r.protocol = strings.TrimPrefix(value, "all")
		case "--dport", "--dports":
			r.ports = value
		case "--ctstate", "--state":
			if !slices.Contains(strings.Split(value, ","), "NEW") {
				return r, false
			}
		case "--dst-type": // ufw's own rules return for what comes to the machine itself
			if value != "LOCAL" {
				return r, false
			}
		default:
			if !slices.Contains(neutralWords, option) {
				return r, false
			}
			// A comment of several words is quoted.
			if strings.HasPrefix(value, `"`) {
				for i+2 < len(words) && !strings.HasSuffix(words[i+1], `"`) {
					i++
				}
			}
		}
	}
	return r, r.target != ""
}

// judge returns ACCEPT or DROP by the first rule of a chain that decides about a
// port, or "" when none does.
func judge(chains map[string][]iptablesRule, name string, p InputPort, depth int) string {
	if depth > 16 { // iptables itself allows no loops
		return ""
	}
	for _, r := range chains[name] {
		if r.protocol != "" && r.protocol != p.Protocol || r.ports != "" && !inPorts(r.ports, p.Number) {
			continue
		}
		switch r.target {
		case "ACCEPT", "ufw-user-limit-accept":
			return "ACCEPT"
		case "DROP", "REJECT":
			return "DROP"
		case "RETURN":
			return ""
		}
		if verdict := judge(chains, r.target, p, depth+1); verdict != "" {
			return verdict
		}
	}
	return ""
}

// inPorts tells whether a list such as "80,443,8000:8100" or "80, 8000-8100" has
// the port.
func inPorts(list string, number int) bool {
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		low, high, ranged := strings.Cut(strings.ReplaceAll(part, "-", ":"), ":")
		if !ranged {
			high = low
		}
		from, fromErr := strconv.Atoi(low)
		to, toErr := strconv.Atoi(high)
		if fromErr == nil && toErr == nil && from <= number && number <= to {
			return true
		}
	}
	return false
}

var (
	// nftOpener is a rule that lets in whoever comes to some ports.
	nftOpener = regexp.MustCompile(`^(?:meta l4proto (?:tcp |udp |\{ tcp, udp \} ))?(tcp|udp|th) dport (?:\{ ([^}]*) \}|(\S+)) ` +
		`(?:ct state (?:new |\{ [^}]*new[^}]*\} ))?(?:counter packets \d+ bytes \d+ )?accept(?: comment .*)?$`)
	// nftEverybody is a rule that lets everybody in, before a last one that drops.
	nftEverybody = regexp.MustCompile(`^(?:counter packets \d+ bytes \d+ )?accept(?: comment .*)?$`)
	// nftElsewhere is a rule that cannot be judged without looking elsewhere.
	nftElsewhere = regexp.MustCompile(`(?:^| )(?:jump|goto|vmap|dport @\S+)(?: |$)`)
)

// openInChain judges ports by a chain as nft lists it.
func openInChain(c chain, rules string) func(InputPort) bool {
	return func(p InputPort) bool {
		if c.Policy != "drop" && !nftDrop.MatchString(rules) {
			return true
		}
		for line := range strings.Lines(rules) {
			line = strings.TrimSpace(line)
			if nftEverybody.MatchString(line) || nftElsewhere.MatchString(line) {
				return true
			}
			m := nftOpener.FindStringSubmatch(line)
			if m != nil && (m[1] == "th" || m[1] == p.Protocol) && inPorts(m[2]+m[3], p.Number) {
				return true
			}
		}
		return false
	}
}
