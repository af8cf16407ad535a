package php

import (
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// builtIn are the extensions that every Debian PHP has, or has with its CLI.
var builtIn = []string{"calendar", "core", "ctype", "date", "exif", "ffi", "fileinfo", "filter", "ftp", "gettext", "hash", "iconv",
	"json", "libxml", "mysqlnd", "opcache", "openssl", "pcntl", "pcre", "pdo", "phar", "posix", "random", "readline", "reflection",
	"session", "shmop", "sockets", "sodium", "spl", "standard", "sysvmsg", "sysvsem", "sysvshm", "tokenizer", "zend-opcache", "zlib"}

// usual are the packages of extensions that every app has: what frameworks and
// their database layers ask for.
var usual = []string{"bcmath", "curl", "gd", "intl", "mbstring", "mysql", "opcache", "pgsql", "readline", "sqlite3", "xml", "zip"}

// packageOf names the package of an extension where it is not of the same name.
var packageOf = map[string]string{
	"dom": "xml", "simplexml": "xml", "xmlreader": "xml", "xmlwriter": "xml", "xsl": "xml",
	"mysqli": "mysql", "pdo_mysql": "mysql", "pdo_pgsql": "pgsql", "pdo_sqlite": "sqlite3",
	"pdo_odbc": "odbc", "pdo_dblib": "sybase", "pdo_firebird": "interbase",
}

// ofPHP are the packages that are made from PHP's own source, in every suite.
var ofPHP = []string{"bcmath", "bz2", "curl", "dba", "enchant", "gd", "gmp", "interbase", "intl", "ldap", "mbstring", "mysql",
	"odbc", "pgsql", "snmp", "soap", "sqlite3", "sybase", "tidy", "xml", "zip"}

// ofOthers are the packages of extensions that others make.
var ofOthers = []string{"amqp", "apcu", "ast", "ds", "gearman", "gmagick", "gnupg", "http", "igbinary", "imagick", "mailparse",
	"maxminddb", "memcache", "memcached", "mongodb", "msgpack", "oauth", "pcov", "ps", "pspell", "raphf", "redis", "rrd", "solr",
	"ssh2", "stomp", "uopz", "uploadprogress", "uuid", "xdebug", "xmlrpc", "yac", "yaml", "zmq"}

// packageFor returns the last part of the name of the package with an
// extension ("redis" of php8.4-redis), "" when PHP has it built in. ok tells
// that the extension can be had.
func (v debianPHP) packageFor(extension string) (name string, ok bool) {
	ext := strings.ToLower(extension)
	if slices.Contains(builtIn, ext) {
		return "", true
	}
	name = ext
	if other, renamed := packageOf[ext]; renamed {
		name = other
	}
	switch {
	case name == "xml" && ext == "xsl" && v.newest():
		return "xsl", true // a package of its own since 8.5
	case v.newest() && slices.Contains(ofOthers, name):
		return "", false // nobody has packed them yet
	case slices.Contains(ofPHP, name), slices.Contains(ofOthers, name):
		return name, true
	case name == "imap" && v.series == "8.2": // left PHP with 8.4
		return name, true
	}
	return "", false
}

// findExtensions returns the packages of the extensions that the app asks for,
// besides the usual ones.
func (p *project) findExtensions() ([]string, error) {
	if p.composer == nil {
		return nil, nil
	}
	var list []string
	for _, ext := range p.composer.extensions() {
		name, ok := p.version.packageFor(ext.name)
		if !ok && ext.locked {
			continue // a package may do without, or Composer says what it needs
		}
		if !ok {
			return nil, source.Problemf(source.CodeNoVersion, "%s requires ext-%s, which is not available for PHP %s", ext.file, source.Printable(ext.name), p.version.series).
				Hint("berth installs extensions from Debian: apt-cache search php%s- lists them", p.version.series)
		}
		if name != "" && !slices.Contains(usual, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
