package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// thirdParty returns the distributions that the repository's own modules
// import, or a Django project's settings name, and that are neither Python's nor
// the repository's. Tests count not.
func (p *project) thirdParty(v pythonVersion, entry entryPoint) []string {
	own := p.code.ownNames(entry.dir)
	found := map[string]bool{}
	for _, file := range source.SortedKeys(p.code.modules) {
		m := p.code.modules[file]
		if isTest(file) {
			continue
		}
		for _, i := range m.imports {
			top, _, _ := strings.Cut(i.module, ".")
			switch {
			case i.level > 0, i.optional, own[top], p.code.sibling(file, top), standardLibrary[top]:
			case removedModules[top]:
				if v.minor > 11 {
					p.tree.Note("%s imports %s, which Python removed before 3.13; pin 3.11 in .python-version", file, top)
				}
			default:
				if dist := distribution(i); dist != "" {
					found[dist] = true
				} else {
					p.tree.Note("%s imports %s, which is not installed: berth does not know its package", file, source.Printable(i.module))
				}
			}
		}
	}
	for _, dist := range p.django.installed(own) {
		found[dist] = true
	}
	return source.SortedKeys(found)
}

func isTest(file string) bool {
	base := path.Base(file)
	return strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py") || base == "conftest.py" ||
		base == "setup.py" || base == "noxfile.py" || base == "fabfile.py" ||
		slices.ContainsFunc(strings.Split(path.Dir(file), "/"), func(dir string) bool { return dir == "tests" || dir == "test" })
}

// Distribution returns the name under which a module is published, "" when it is
// published nowhere.
func Distribution(module string) string { return distribution(importation{module: module}) }

// Removed tells whether a module is of earlier Pythons' library alone.
func Removed(module string) bool { return removedModules[module] }

// distribution returns the name under which an imported module is published,
// "" when it is published nowhere.
func distribution(i importation) string {
	full := i.module
	if i.name != "" {
		full += "." + i.name
	}
	for name := full; name != "."; name = dirOf(name) {
		if dist, ok := distributions[name]; ok && (dist != "" || !strings.HasPrefix(full, "google.cloud.")) {
			return dist
		}
	}
	if sub, ok := strings.CutPrefix(full, "google.cloud."); ok {
		sub, _, _ = strings.Cut(sub, ".")
		return normal("google-cloud-" + sub)
	}
	top, _, _ := strings.Cut(i.module, ".")
	if !distName.MatchString(top) {
		return ""
	}
	return normal(top)
}

func dirOf(dotted string) string {
	return strings.ReplaceAll(path.Dir(strings.ReplaceAll(dotted, ".", "/")), "/", ".")
}

// distributions holds the modules whose distribution has another name, by
// the longest name that decides. Most modules have the name of theirs.
var distributions = map[string]string{
	"Crypto": "pycryptodome", "Cryptodome": "pycryptodomex", "IPython": "ipython", "Levenshtein": "levenshtein",
	"MySQLdb": "mysqlclient", "OpenSSL": "pyopenssl", "PIL": "pillow", "PyPDF2": "pypdf2", "RPi": "rpi.gpio",
	"Xlib": "python-xlib", "allauth": "django-allauth", "apiclient": "google-api-python-client",
	"apt": "", "attr": "attrs", "azure": "", "azure.cosmos": "azure-cosmos", "azure.identity": "azure-identity",
	"azure.keyvault.secrets": "azure-keyvault-secrets", "azure.storage.blob": "azure-storage-blob",
	"barcode": "python-barcode", "bs4": "beautifulsoup4", "bson": "pymongo", "cairo": "pycairo",
	"corsheaders": "django-cors-headers", "crispy_forms": "django-crispy-forms", "crontab": "python-crontab",
	"cv2": "opencv-python-headless", "dateutil": "python-dateutil", "debug_toolbar": "django-debug-toolbar",
	"decouple": "python-decouple", "discord": "discord-py", "dj_database_url": "dj-database-url",
	"django_filters": "django-filter", "dns": "dnspython", "docx": "python-docx", "dotenv": "python-dotenv",
	"email_validator": "email-validator", "engineio": "python-engineio", "environ": "django-environ",
	"faiss": "faiss-cpu", "fasthtml": "python-fasthtml", "ffmpeg": "ffmpeg-python", "fitz": "pymupdf", "flask_sock": "flask-sock",
	"gi": "pygobject", "git": "gitpython", "github": "pygithub", "gitlab": "python-gitlab",
	"google": "", "google.auth": "google-auth", "google.cloud.bigquery": "google-cloud-bigquery",
	"google.cloud.firestore": "google-cloud-firestore", "google.cloud.pubsub": "google-cloud-pubsub",
	"google.cloud.storage": "google-cloud-storage", "google.generativeai": "google-generativeai",
	"google.genai": "google-genai", "google.oauth2": "google-auth", "google.protobuf": "protobuf",
	"googleapiclient": "google-api-python-client", "gridfs": "pymongo", "grpc": "grpcio", "guardian": "django-guardian",
	"import_export": "django-import-export", "jose": "python-jose", "jwt": "pyjwt", "kafka": "kafka-python",
	"ldap": "python-ldap", "lxml_html_clean": "lxml-html-clean", "magic": "python-magic", "markdown": "markdown",
	"memcache": "python-memcached", "mpl_toolkits": "matplotlib", "multipart": "python-multipart",
	"mysql": "mysql-connector-python", "nacl": "pynacl", "oauth2_provider": "django-oauth-toolkit",
	"odf": "odfpy", "osgeo": "gdal", "phonenumber_field": "django-phonenumber-field", "pkg_resources": "setuptools",
	"pptx": "python-pptx", "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "pylab": "matplotlib",
	"pythoncom": "", "pywintypes": "", "rest_framework": "djangorestframework",
	"rest_framework_simplejwt": "djangorestframework-simplejwt", "ruamel": "ruamel-yaml", "saml2": "pysaml2",
	"sentry_sdk": "sentry-sdk", "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn",
	"slack": "slackclient", "slugify": "python-slugify", "snappy": "python-snappy", "socketio": "python-socketio",
	"socks": "pysocks", "speech_recognition": "speechrecognition", "stdnum": "python-stdnum", "storages": "django-storages",
	"taggit": "django-taggit", "telebot": "pytelegrambotapi", "telegram": "python-telegram-bot", "tlz": "toolz",
	"usb": "pyusb", "websocket": "websocket-client", "win32api": "", "win32com": "", "win32con": "", "win32gui": "",
	"wx": "wxpython", "yaml": "pyyaml", "zmq": "pyzmq",
}

// standardLibrary are the modules of Python 3.13's library, and later ones.
var standardLibrary = nameSet(`__future__ __main__ _thread
abc annotationlib antigravity argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 cProfile
calendar cmath cmd code codecs codeop collections colorsys compileall concurrent configparser
contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime dbm decimal difflib dis
doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions
ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac
html http idlelib imaplib importlib inspect io ipaddress itertools json keyword linecache locale
logging lzma mailbox marshal math mimetypes mmap modulefinder msvcrt multiprocessing netrc nt ntpath
nturl2path numbers opcode operator optparse os pathlib pdb pickle pickletools pkgutil platform
plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data
pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select
selectors shelve shlex shutil signal site smtplib socket socketserver sqlite3 sre_compile
sre_constants sre_parse ssl stat statistics string stringprep struct subprocess symtable sys
sysconfig syslog tabnanny tarfile tempfile termios textwrap this threading time timeit tkinter token
tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest
urllib uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xml xmlrpc zipapp zipfile
zipimport zlib zoneinfo`)

// removedModules are modules of earlier libraries that 3.13's does not have. What
// PyPI has under these names is something else.
var removedModules = nameSet(`aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils formatter imghdr imp lib2to3
macpath mailcap msilib nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol telnetlib
uu xdrlib`)

func nameSet(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}
