package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// What the door speaks, best first: nothing with SHA-1, CBC or NIST curves in
// the key exchange. curve25519 is there for clients older than OpenSSH 9.9,
// group16 for those that must do without it.
var (
	keyExchanges = []string{
		gossh.KeyExchangeMLKEM768X25519,
		gossh.KeyExchangeCurve25519,
		"curve25519-sha256@libssh.org",
		gossh.KeyExchangeDH16SHA512,
	}
	ciphers = []string{
		gossh.CipherChaCha20Poly1305,
		gossh.CipherAES256GCM,
		gossh.CipherAES128GCM,
		gossh.CipherAES256CTR,
		gossh.CipherAES128CTR,
	}
	macs = []string{
		gossh.HMACSHA256ETM,
		gossh.HMACSHA512ETM,
	}
	publicKeyAlgorithms = []string{
		gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519,
		gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521, gossh.KeyAlgoSKECDSA256,
		gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256,
	}
)

// rsaBits is what NIST asks of RSA keys that are to last beyond 2030.
const rsaBits = 3072

// GenerateHostKeys makes the server's keys, in PEM by kind: "ed25519" and
// "rsa". It takes a second.
func GenerateHostKeys() (map[string][]byte, error) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate host keys: %w", err)
	}
	rivest, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("generate host keys: %w", err)
	}
	keys := map[string][]byte{}
	for kind, key := range map[string]any{"ed25519": edwards, "rsa": rivest} {
		block, err := gossh.MarshalPrivateKey(key, "berth")
		if err != nil {
			return nil, fmt.Errorf("generate host keys: %w", err)
		}
		keys[kind] = pem.EncodeToMemory(block)
	}
	return keys, nil
}

func hostSigners(keys map[string][]byte) ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for kind, pem := range keys {
		signer, err := gossh.ParsePrivateKey(pem)
		if err != nil {
			return nil, fmt.Errorf("read host key %s: %w", kind, err)
		}
		if signer.PublicKey().Type() == gossh.KeyAlgoRSA {
			// Left alone, it would sign with SHA-1 for who asks.
			signer, err = gossh.NewSignerWithAlgorithms(signer.(gossh.AlgorithmSigner),
				[]string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256})
			if err != nil {
				return nil, fmt.Errorf("read host key %s: %w", kind, err)
			}
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, errors.New("no SSH host keys")
	}
	slices.SortFunc(signers, func(a, b ssh.Signer) int { // ed25519 is offered first
		return len(a.PublicKey().Marshal()) - len(b.PublicKey().Marshal())
	})
	return signers, nil
}
