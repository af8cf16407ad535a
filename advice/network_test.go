package advice

import (
	"strings"
	"testing"
)

// What programs print when a host cannot be reached, the hosts' names changed.
var netOutputs = []struct{ name, output, host string }{
	{"git", "fatal: unable to access 'https://code.example.org/a/b/': Could not resolve host: code.example.org", "code.example.org"},
	{"git over ssh", "ssh: Could not resolve hostname code.example.org: Temporary failure in name resolution", "code.example.org"},
	{"curl", "curl: (6) Could not resolve host: files.example.org", "files.example.org"},
	{"curl, refused", "curl: (7) Failed to connect to files.example.org port 443 after 5 ms: Couldn't connect to server", "files.example.org"},
	{"apt, resolve", "Err:1 http://archive.example.org/debian trixie InRelease\n  Temporary failure resolving 'archive.example.org'", "archive.example.org"},
	{"apt, fetch", "W: Failed to fetch http://archive.example.org/debian/dists/trixie/InRelease  Could not resolve 'archive.example.org'", "archive.example.org"},
	{"apt, connect", "  Could not connect to archive.example.org:80 (192.0.2.1), connection timed out", "archive.example.org"},
	{"apt, proxy", "  Unable to connect to proxy.example.org:3142:", ""},
	{"berth's look at the archives", "cannot resolve archive.example.org: no such host, or no DNS server answers", "archive.example.org"},
	{"berth's look at the archives, connect", "cannot connect to archive.example.org:80", "archive.example.org"},
	{"npm", "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo\nnpm error errno EAI_AGAIN\n" +
		"npm error request to https://registry.example.org/left-pad failed, reason: getaddrinfo EAI_AGAIN registry.example.org", "registry.example.org"},
	{"npm, refused", "npm error code ECONNREFUSED\nnpm error FetchError: request to https://registry.example.org/left-pad failed, reason: connect ECONNREFUSED 192.0.2.1:443", "registry.example.org"},
	{"pnpm", "WARN  GET https://registry.example.org/left-pad error (ENOTFOUND). Will retry in 10 seconds. 2 retries left.", "registry.example.org"},
	{"yarn", `error An unexpected error occurred: "https://registry.example.org/left-pad: getaddrinfo ENOTFOUND registry.example.org".`, "registry.example.org"},
	{"yarn berry", "➤ YN0001: │ RequestError: getaddrinfo ENOTFOUND registry.example.org", "registry.example.org"},
	{"pip, old", "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by " +
		"'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f3054e72710>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/flask/\n" +
		"ERROR: Could not find a version that satisfies the requirement flask (from versions: none)\nERROR: No matching distribution found for flask", ""},
	{"pip", "WARNING: Retrying (Retry(total=4)) after connection broken by 'NameResolutionError(\"HTTPSConnection(host='index.example.org', port=443): " +
		"Failed to resolve 'index.example.org' ([Errno -3] Temporary failure in name resolution)\")': /simple/flask/", "index.example.org"},
	{"uv", "error: Failed to fetch: `https://index.example.org/simple/flask/`\n  Caused by: client error (Connect)\n  Caused by: dns error: failed to lookup address information: Temporary failure in name resolution", "index.example.org"},
	{"uv, refused", "error: Request failed after 3 retries\n  Caused by: Failed to fetch: `https://index.example.org/simple/flask/`\n  Caused by: tcp connect error: Connection refused (os error 111)", "index.example.org"},
	{"go", `go: rsc.io/quote@v1.5.2: Get "https://proxy.example.org/rsc.io/quote/@v/v1.5.2.mod": dial tcp: lookup proxy.example.org on 192.0.2.53:53: dial udp 192.0.2.53:53: connect: network is unreachable`, "proxy.example.org"},
	{"go, timeout", `go: rsc.io/quote@v1.5.2: Get "https://proxy.example.org/rsc.io/quote/@v/v1.5.2.mod": dial tcp 192.0.2.1:443: i/o timeout`, "proxy.example.org"},
	{"cargo", "warning: spurious network error (3 tries remaining): [6] Couldn't resolve host name (Could not resolve host: index.example.org)", "index.example.org"},
	{"cargo, last", "error: failed to get `rand` as a dependency of package `c v0.1.0 (/app)`\n\nCaused by:\n  failed to download from `https://index.example.org/config.json`\n\nCaused by:\n" +
		"  [6] Could not resolve hostname (Could not resolve host: index.example.org)", "index.example.org"},
	{"maven", "[ERROR] Failed to execute goal on project b: Could not resolve dependencies for project a:b:jar:1: Failed to collect dependencies: " +
		"Could not transfer artifact org.nosuch:zz:pom:9.9 from/to central (https://repo.example.org/maven2): repo.example.org: Temporary failure in name resolution", "repo.example.org"},
	{"maven, unknown host", "Could not transfer artifact a:b:pom:1 from/to central (https://repo.example.org/maven2): Unknown host repo.example.org", "repo.example.org"},
	{"gradle", "> Could not GET 'https://plugins.example.org/m2/x.pom'.\n   > plugins.example.org: Name or service not known", "plugins.example.org"},
	{"java", "Caused by: java.net.UnknownHostException: repo.example.org", "repo.example.org"},
	{"composer", "curl error 6 while downloading https://repo.example.org/packages.json: Could not resolve host: repo.example.org", "repo.example.org"},
	{"bundler", "Could not reach host gems.example.org. Check your network connection and try again.", "gems.example.org"},
	{"gem", "ERROR:  While executing gem ... (Gem::RemoteFetcher::FetchError)\n    SocketError: Failed to open TCP connection to gems.example.org:443 (getaddrinfo: Temporary failure in name resolution) (https://gems.example.org/specs.4.8.gz)", "gems.example.org"},
}

func TestUnreachable_FindsTheHostInWhatProgramsSay(t *testing.T) {
	for _, row := range netOutputs {
		host, yes := unreachable(strings.Split(row.output, "\n"))
		if !yes || row.host != "" && host != row.host {
			t.Errorf("%s: got %q, %t, want %q", row.name, host, yes, row.host)
		}
	}
}

func TestUnreachable_IsNotWhatElseGoesWrong(t *testing.T) {
	for _, output := range []string{
		"ERROR: No matching distribution found for flask.nosuch",
		"npm error 404 Not Found - GET https://registry.example.org/nosuch - Not found",
		"connect ECONNREFUSED 127.0.0.1:5432",
		"psycopg2.OperationalError: connection to server at \"localhost\" (127.0.0.1), port 5432 failed: Connection refused",
		"Error: connect ECONNREFUSED ::1:6379 [::1]",
		"test_timeout passed",
	} {
		if host, yes := unreachable([]string{output}); yes {
			t.Errorf("%q: taken for a host %q that cannot be reached", output, host)
		}
	}
}
