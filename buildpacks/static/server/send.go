package server

import (
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// What a browser and a cache on the way may do with an answer.
const (
	revalidate = "no-cache" // keep it, and ask each time whether it is still true
	forever    = "public, max-age=31536000, immutable"
)

// encodings are the compressed forms that may stand beside a file, the one
// that is taken first in front.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// send answers with a file, in a compressed form if there is one that the client takes.
func (s *site) send(w http.ResponseWriter, r *http.Request, name string, status int) {
	h := w.Header()
	f, info := s.file(name)
	if f == nil {
		notFound(w)
		return
	}
	stored := name
	for _, e := range encodings {
		other, otherInfo := s.file(name + e.suffix)
		if other == nil {
			continue
		}
		h.Set("Vary", "Accept-Encoding")
		if stored != name || !accepts(r.Header.Values("Accept-Encoding"), e.name) {
			other.Close()
			continue
		}
		f.Close()
		f, info, stored = other, otherInfo, name+e.suffix
		h.Set("Content-Encoding", e.name)
	}
	defer f.Close()
	if kind := contentType(name); kind != "" {
		h.Set("Content-Type", kind)
	}
	h.Set("Cache-Control", cacheControl(name, status))
	if tag := s.tags.of(stored, f, info); tag != "" {
		h.Set("ETag", tag)
	}
	if status == http.StatusOK {
		http.ServeContent(w, r, name, info.ModTime(), f)
		return
	}
	// What is missing has no ranges and is never unchanged.
	for _, condition := range []string{"Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		r.Header.Del(condition)
	}
	http.ServeContent(&withStatus{ResponseWriter: w, status: status}, r, name, time.Time{}, f)
}

// withStatus answers with a status of its own instead of 200.
type withStatus struct {
	http.ResponseWriter
	status int
}

func (w *withStatus) WriteHeader(int) {
	w.Header().Del("ETag")
	w.Header().Del("Accept-Ranges")
	w.ResponseWriter.WriteHeader(w.status)
}

// accepts tells whether an Accept-Encoding takes an encoding (RFC 9110, 12.5.3).
func accepts(header []string, encoding string) bool {
	any := false
	for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, weight, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != encoding && name != "*" {
			continue
		}
		taken := true
		if q, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q="); ok {
			n, err := strconv.ParseFloat(q, 64)
			taken = err == nil && n > 0
		}
		if name == encoding {
			return taken
		}
		any = taken
	}
	return any
}

// types are the ones that Go's own table lacks, or that the machine's may have otherwise.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".cjs": "text/javascript; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json",
	".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8",
	".xml": "text/xml; charset=utf-8", ".xhtml": "application/xhtml+xml",
	".avif": "image/avif", ".gif": "image/gif", ".ico": "image/x-icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".png": "image/png", ".svg": "image/svg+xml", ".webp": "image/webp",
	".otf": "font/otf", ".ttf": "font/ttf", ".woff": "font/woff", ".woff2": "font/woff2",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".ogg": "audio/ogg", ".wav": "audio/wav", ".webm": "video/webm",
	".pdf": "application/pdf", ".wasm": "application/wasm", ".zip": "application/zip", ".gz": "application/gzip",
}

// contentType goes by the extension; "" leaves it to the content, for files
// that have none.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if kind := types[ext]; kind != "" {
		return kind
	}
	if kind := mime.TypeByExtension(ext); kind != "" || ext == "" {
		return kind
	}
	return "application/octet-stream"
}

// builds are folders in which build tools put files under names of their own,
// never the same for another content.
var builds = []string{"_next/static/", "_app/immutable/", "_astro/", "_nuxt/"}

// cacheControl lets a file be kept for ever when its name changes with its
// content, and has all others asked for again, which an ETag makes cheap.
func cacheControl(name string, status int) string {
	ext := strings.ToLower(path.Ext(name))
	if status != http.StatusOK || ext == ".html" || ext == ".htm" || ext == ".json" {
		return revalidate
	}
	for _, dir := range builds {
		if strings.HasPrefix(name, dir) {
			return forever
		}
	}
	if hashed(strings.TrimSuffix(path.Base(name), path.Ext(name)), ext == ".js" || ext == ".css") {
		return forever
	}
	return revalidate
}

// hashed tells a name that ends in a digest, as bundlers write them:
// index-CHdo91hT (Vite), main.8d3f2c1a.chunk (webpack), main-6QJ3LSSU (Angular).
// In doubt it is none: to keep a file that changes would break the site.
func hashed(stem string, code bool) bool {
	for _, more := range []string{".chunk", ".min", ".bundle"} {
		stem = strings.TrimSuffix(stem, more)
	}
	const shortest = 8
	if isDigest(stem[strings.LastIndexAny(stem, ".-")+1:], code) && strings.ContainsAny(stem, ".-") {
		return true
	}
	// In base64url a digest may have a dash itself.
	at := len(stem) - shortest
	return at > 0 && strings.IndexByte(".-", stem[at-1]) >= 0 && isDigest(stem[at:], code)
}

func isDigest(s string, code bool) bool {
	const shortest, longest = 8, 64
	if len(s) < shortest || len(s) > longest {
		return false
	}
	var digit, hex, lower, upper bool
	hex = true
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z':
			lower = true
			hex = hex && c <= 'f'
		case c >= 'A' && c <= 'Z':
			upper, hex = true, false
		case c == '-' || c == '_':
			hex = false
		default:
			return false
		}
	}
	// A word has no digits, a date or a number nothing else.
	return digit && (hex && lower || lower && upper || code && upper)
}
