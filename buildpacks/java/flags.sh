# What a JVM is to be told of the machine it runs on, in $flags. Sourced by the
# launcher and by builds. No flag has a blank in it.
flags=-Duser.home=$HOME

# The certificates of Debian and of the operator, in the form that a JVM reads.
# Made where it runs, so that what the operator adds is there at the next start.
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
trust=/tmp/java-trust.p12
if [ ! -e $trust ] || [ $bundle -nt $trust ]; then
	openssl pkcs12 -export -nokeys -jdktrust anyExtendedKeyUsage -passout pass:changeit \
		-in $bundle -out $trust.$$ && mv $trust.$$ $trust
fi
if [ -r $trust ]; then
	flags="$flags -Djavax.net.ssl.trustStore=$trust -Djavax.net.ssl.trustStorePassword=changeit"
fi

# proxy SCHEME URL: the host and the port. A password would stand in the list
# of processes, and is left out.
proxy() {
	at=${2#*://} at=${at##*@} at=${at%%/*}
	[ -z "$at" ] || flags="$flags -D$1.proxyHost=${at%:*}"
	case $at in
	*:*) flags="$flags -D$1.proxyPort=${at##*:}" ;;
	esac
}
proxy http "${http_proxy:-${HTTP_PROXY-}}"
proxy https "${https_proxy:-${HTTPS_PROXY-}}"
direct=$(printf %s "${no_proxy:-${NO_PROXY-}}" | tr -d ' ' | sed 's/^\./*./; s/,\./,*./g; s/,/|/g')
[ -z "$direct" ] || flags="$flags -Dhttp.nonProxyHosts=$direct|localhost|127.*"
