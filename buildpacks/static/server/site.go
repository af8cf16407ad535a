package server

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// site is a directory that is served.
type site struct {
	root     *os.Root // no link in it leads out
	fallback string   // "" is none
	missing  string
	hidden   []string
	tags     tags
}

const spaPage = "200.html" // by the custom of static hosts, the fallback

// notes are the files by which a repository tells a platform what to do with
// it. They are no part of a site, although they stand in its folder.
var notes = []string{"Procfile", "Staticfile", "static.json", "app.json", "Dockerfile"}

func open(o options) (*site, error) {
	root, err := os.OpenRoot(o.root)
	if err != nil {
		return nil, fmt.Errorf("open what is to be served: %w", err)
	}
	s := &site{root: root, fallback: o.fallback, missing: o.missing, hidden: slices.Concat(o.hidden, notes)}
	if s.fallback == "" && s.isFile(spaPage) {
		s.fallback = spaPage
	}
	if s.fallback != "" && !s.isFile(s.fallback) {
		root.Close()
		return nil, fmt.Errorf("the fallback %s is not a file in %s", s.fallback, o.root)
	}
	return s, nil
}

// ServeHTTP answers a request for a file.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
		return
	}
	name, elsewhere := s.find(r.URL.Path)
	switch {
	case elsewhere != "":
		// Of a clean path, so that it cannot lead to another host.
		to := url.URL{Path: elsewhere, RawQuery: r.URL.RawQuery}
		w.Header().Set("Cache-Control", revalidate)
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusMovedPermanently)
	case name != "":
		s.send(w, r, name, http.StatusOK)
	case s.fallback != "" && navigates(r):
		s.send(w, r, s.fallback, http.StatusOK)
	case s.missing != "" && s.isFile(s.missing):
		s.send(w, r, s.missing, http.StatusNotFound)
	default:
		notFound(w)
	}
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", revalidate)
	http.Error(w, "404 page not found", http.StatusNotFound)
}

// find returns the file for a request's path, or the path at which it is to be
// asked for; neither when there is nothing.
func (s *site) find(asked string) (name, elsewhere string) {
	if strings.ContainsAny(asked, "\x00\\") {
		return "", ""
	}
	name = clean(asked)
	if !s.public(name) {
		return "", ""
	}
	index := path.Join(name, "index.html")
	if name == "" {
		if s.isFile(index) {
			return index, ""
		}
		return "", ""
	}
	if strings.HasSuffix(asked, "/") {
		switch {
		case s.isFile(index):
			return index, ""
		case s.isFile(name), s.isFile(name + ".html"):
			return "", "/" + name
		}
		return "", ""
	}
	switch {
	case s.isFile(name):
		return name, ""
	case s.isFile(index):
		return "", "/" + name + "/"
	case s.isFile(name + ".html"):
		return name + ".html", ""
	}
	return "", ""
}

// clean returns the path of a request as that of a file: relative, without
// dots; "" is the root.
func clean(asked string) string { return strings.TrimPrefix(path.Clean("/"+asked), "/") }

// public tells whether a path may be served at all: nothing that begins with a
// dot, as .env and .git do, but the folder that RFC 8615 made for it.
func (s *site) public(name string) bool {
	for i, part := range strings.Split(name, "/") {
		if strings.HasPrefix(part, ".") && !(i == 0 && part == ".well-known") {
			return false
		}
	}
	return !slices.ContainsFunc(s.hidden, func(hidden string) bool {
		return name == hidden || strings.HasPrefix(name, hidden+"/") || name+".html" == hidden
	})
}

// navigates tells a request for a page from one for a part of a page: a browser
// says which it is, and parts have extensions.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	if path.Ext(r.URL.Path) != "" {
		return false
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return accept == "" || strings.Contains(accept, "text/html") || strings.Contains(accept, "*/*")
}

func (s *site) isFile(name string) bool {
	info, err := s.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// file opens a regular file; nil when it is none, or may not be read.
func (s *site) file(name string) (*os.File, fs.FileInfo) {
	// Without blocking: what was a file a moment ago may be a pipe now.
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil
	}
	return f, info
}
