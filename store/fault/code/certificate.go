package code

// Certificates, and what a certificate authority (CA) said.
const (
	LetsencryptInvalid = "E155"
	CertificateInvalid = "E178"
	CertificateUnknown = "E179"
	CARefused          = "E180"
)

var certificates = []Entry{
	{LetsencryptInvalid, "letsencrypt has no such property or value.",
		"`berth letsencrypt:set --global` sets how certificates are obtained. The name is not one of its " +
			"properties, or the value does not fit it: an e-mail address, an https address of an ACME directory, " +
			"PEM certificates, the name of a DNS provider. `berth help letsencrypt:set` lists them. `berth " +
			"letsencrypt:enable` needs an email first."},
	{CertificateInvalid, "The certificate cannot serve these hosts.",
		"Browsers would refuse it: it has expired, its key belongs to another certificate, its chain is " +
			"broken, or it is for other hosts. The message says which. Nothing was changed. Give the certificate " +
			"with its whole chain and its key: `berth certs:add APP server.crt server.key`."},
	{CertificateUnknown, "No such certificate or host.",
		"The app or host has no certificate of its own to remove, no host that can have one, or there is no " +
			"app and no host of this name. `berth certs:report` lists the hosts and the certificate of each. " +
			"`berth domains:add APP DOMAIN` adds a host to an app."},
	{CARefused, "The CA refused the request.",
		"The certificate authority issued no certificate, or did not revoke one. `berth letsencrypt:list APP` " +
			"shows what it said. Usually the name does not point to this machine, or ports 80 and 443 are closed " +
			"to the internet. The current certificate stays, and berth retries automatically; `berth " +
			"letsencrypt:enable APP` retries at once."},
}
