package http1

import (
	"net/http"
	"net/url"
	"strings"
)

// Request is the head of a plain request.
type Request struct {
	Method, URI string
	URL         *url.URL
	Host        string
	Length      int64 // of the body, 0 when there is none
	Close       bool  // the client wants the connection to end
	Header      http.Header
}

// ParseRequest reads the head of a request if it is plain: HTTP/1.1 with a path,
// one well-formed host, and a body of said length or none. ok is false for
// whatever is not, or not certainly so: another server is to be asked then.
func ParseRequest(text []byte) (req Request, ok bool) {
	line, rest, ok := cutLine(string(text))
	if !ok {
		return req, false
	}
	method, line, _ := strings.Cut(line, " ")
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
	default:
		return req, false
	}
	uri, version, _ := strings.Cut(line, " ")
	if version != "HTTP/1.1" || !strings.HasPrefix(uri, "/") || !validURI(uri) {
		return req, false
	}
	var memory [32]Field
	fields, ok := parseFields(rest, memory[:0])
	if !ok {
		return req, false
	}
	req = Request{Method: method, URI: uri, Header: make(http.Header, len(fields))}
	values := make([]string, len(fields)) // one allocation for all
	lengths := 0
	for i, f := range fields {
		switch f.Name {
		case "Host":
			if req.Host != "" || !validHost(f.Value) {
				return req, false
			}
			req.Host = f.Value
			continue
		case "Transfer-Encoding", "Upgrade", "Expect", "Trailer", "Http2-Settings":
			return req, false
		case "Content-Length":
			if req.Length, ok = parseLength(f.Value); !ok || lengths > 0 {
				return req, false
			}
			lengths++
		case "Connection":
			switch {
			case req.Header["Connection"] != nil:
				return req, false
			case strings.EqualFold(f.Value, "close"):
				req.Close = true
			case !strings.EqualFold(f.Value, "keep-alive"):
				return req, false
			}
		}
		if before := req.Header[f.Name]; before != nil {
			req.Header[f.Name] = append(before, f.Value)
			continue
		}
		values[i] = f.Value
		req.Header[f.Name] = values[i : i+1 : i+1]
	}
	if req.Host == "" {
		return req, false
	}
	if p := req.Header["Pragma"]; len(p) > 0 && p[0] == "no-cache" && req.Header["Cache-Control"] == nil {
		req.Header["Cache-Control"] = []string{"no-cache"} // as net/http does
	}
	var err error
	if req.URL, err = url.ParseRequestURI(uri); err != nil || req.URL.Host != "" {
		return req, false
	}
	return req, true
}

// validHost tells whether s is a host of letters, digits, dots and hyphens or
// an address, with a port or without. What else a host may be is rare.
func validHost(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == ':', c == '_', c == '[', c == ']':
		default:
			return false
		}
	}
	return s != ""
}
