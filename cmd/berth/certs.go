package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/berthd/berth/verbs"
)

var certsShows = map[string]printer{
	"certs:report":   asTable(printCertificates),
	"certs:remove":   asTable(printCertificates),
	"certs:generate": asTable(printCertificates),
}

func (c *cli) certsCommands() []command {
	change := func(ctx context.Context, verb string, args any, done string) error {
		var rows []verbs.Certificate
		if err := c.ask(ctx, verb, args, &rows); err != nil {
			return err
		}
		c.say("%s", done)
		t := c.newTable()
		printCertificates(t, rows)
		return t.flush()
	}
	return []command{

		{
			use: "certs:add APP|HOST [CRT KEY]",

			max: 2,
			run: func(ctx context.Context, target string, words []string) error {
				args := verbs.CertsAddArgs{CertsArgs: verbs.CertsArgs{Target: target}}
				var err error
				switch len(words) {
				case 0:
					if c.term != nil {
						return usage("a certificate comes from two files, or from standard input").Hint("usage: berth certs:add APP CRT KEY")
					}
					var text string
					if text, err = readAtMost(c.in, maxStdin); err == nil {
						args.Certificate, args.Key, err = unpackPair(text)
					}
				case 1:
					return usage("certs:add needs the key too").Hint("usage: berth certs:add APP CRT KEY")
				default:
					if args.Certificate, err = c.readFile(words[0]); err == nil {
						args.Key, err = c.readFile(words[1])
					}
				}
				if err != nil {
					return err
				}
				return change(ctx, "certs:add", args, "served from now on")
			},
		},
		{
			after: "certs:add", use: "certs:update APP|HOST [CRT KEY]", short: "the same as certs:add", example: "certs:update shop server.crt server.key",
			max: 2,
			run: func(ctx context.Context, target string, words []string) error {
				for _, cmd := range c.certsCommands() {
					if strings.HasPrefix(cmd.use, "certs:add ") {
						return cmd.run(ctx, target, words)
					}
				}
				return nil
			},
		},

		{
			after: "certs:root", use: "certs:trust", short: "print berth's own CA and how to trust it", example: "certs:trust >berth.pem", noApp: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				root, err := c.root(ctx)
				if err != nil {
					return err
				}
				if _, err := io.WriteString(c.out, root); err != nil {
					return err
				}
				block, _ := pem.Decode([]byte(root))
				if block == nil {
					return errors.New("the appliance's CA is not readable")
				}
				c.say(trustHelp, fingerprint(block.Bytes))
				return nil
			},
		},
	}
}

const trustHelp = `
This certificate (SHA-256 %s)
signs for every host that has no other. With it in the file berth.pem:

curl            curl --cacert berth.pem https://...
Debian, Ubuntu  cp berth.pem /usr/local/share/ca-certificates/berth.crt; update-ca-certificates
Fedora          cp berth.pem /etc/pki/ca-trust/source/anchors/; update-ca-trust
macOS           security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db berth.pem
Windows         certutil -addstore -user Root berth.pem
Firefox         Settings, Certificates, Authorities, Import
Node.js         NODE_EXTRA_CA_CERTS=berth.pem

It is good for this machine's domain and addresses, for the hosts that you see in
certs:report, and for no other site. After domains:add or domains:set-global
fetch it again and import it in place of the old one. Until then browsers refuse
the new hosts and offer no way to go on. Remove a root that an older berth
printed: it has the same name and is good for every site.`

// fingerprint is written as browsers show it, on two lines.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	text := strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
	return text[:48] + "\n" + text[48:]
}

func (c *cli) root(ctx context.Context) (string, error) {
	var root verbs.Root
	err := c.ask(ctx, "certs:root", nil, &root)
	return root.PEM, err
}

// unpackPair reads a tar of a certificate and its key, as Dokku's clients send
// it, or both as PEM one after the other.
func unpackPair(text string) (certificate, key string, err error) {
	if strings.Contains(text, "-----BEGIN ") && !isTar(text) {
		return text, text, nil
	}
	if !isTar(text) {
		return "", "", usage("standard input is neither a tar nor PEM").Hint("tar cf - server.crt server.key | berth certs:add APP")
	}
	for r := tar.NewReader(strings.NewReader(text)); ; {
		entry, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", "", usage("the tar cannot be read: %w", err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		into := &certificate
		switch strings.ToLower(path.Ext(entry.Name)) {
		case ".key":
			into = &key
		case ".crt", ".pem", ".cer":
		default:
			continue
		}
		if *into != "" {
			return "", "", usage("the tar holds more than one certificate or key").Hint("it is to hold server.crt and server.key")
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return "", "", usage("the tar cannot be read: %w", err)
		}
		*into = string(raw)
	}
	if certificate == "" || key == "" {
		return "", "", usage("the tar lacks the certificate or the key").Hint("it is to hold server.crt and server.key")
	}
	return certificate, key, nil
}

// isTar looks for the mark that every tar since 1988 has in its first block.
func isTar(text string) bool { return len(text) > 262 && text[257:262] == "ustar" }
