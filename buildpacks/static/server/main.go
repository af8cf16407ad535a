// Package server is berth's file server for static sites and single-page apps. It
// is the berth binary under another name, which every container has already, so
// that a site needs no web server of its own.
//
// A request is answered with the first of these that there is:
//
//	/about      the file about; about/ when that has an index.html (redirect);
//	            the file about.html
//	/about/     about/index.html
//	otherwise   the fallback, when somebody navigates to a page; else 404.html
//
// It knows nothing of apps and of berth: a directory, a port and some options.
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// Name is the program's name, by which the binary tells what it is.
const Name = "static-server"

// Invoked tells whether this process was started as the file server.
func Invoked() bool { return len(os.Args) > 0 && filepath.Base(os.Args[0]) == Name }

// Main serves until it is stopped. It returns the exit code.
func Main() int { return start(os.Args[1:], os.Stdout, os.Stderr) }

// The bounds of a server.
const (
	slowestHeader  = 10 * time.Second // of a request to arrive
	slowestRequest = 30 * time.Second // with a body, which nobody reads
	slowestAnswer  = 30 * time.Minute // a film on a slow line; who needs longer asks for ranges
	longestIdle    = 2 * time.Minute  // longer than a router's, so that none is reset under a request
	longestStop    = 25 * time.Second // for answers on their way, within the 30 s that an app has
	maxHeader      = 32 << 10         // bytes
	maxConnections = 4096
	defaultPort    = "8080"
)

const usage = `Usage: static-server [flags]

Serves the files of a directory over HTTP: index.html of directories, pages
without their .html, 404.html, .br and .gz files beside the originals, ranges.
Files that begin with a dot are not served, .well-known is; nor are a Procfile,
Staticfile, static.json, app.json or Dockerfile at the top.

  --root DIR       the directory, . when it is not given
  --port N         where to listen, $PORT when it is not given, else ` + defaultPort + `
  --fallback FILE  what a page that is not there is answered with, for apps that
                   have their routes in the browser; 200.html when there is one
  --error FILE     what anything else that is not there is answered with, under
                   the status 404: 404.html when it is not given
  --hide NAME      a file or directory of DIR that is not to be served; several
                   with commas between them, or the flag several times
  --help           this text
`

// options are what the flags say.
type options struct {
	root     string
	port     string
	fallback string
	missing  string // "404.html"
	hidden   []string
}

func start(args []string, out, complaints io.Writer) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return 0
	case err != nil:
		fmt.Fprintf(complaints, "%s: %v\n%s", Name, err, usage)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o, out); err != nil {
		fmt.Fprintf(complaints, "%s: %v\n", Name, err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	o := options{}
	port := os.Getenv("PORT")
	if port == "" {
		port = defaultPort
	}
	f := flag.NewFlagSet(Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.root, "root", ".", "")
	f.StringVar(&o.port, "port", port, "")
	f.StringVar(&o.fallback, "fallback", "", "")
	f.StringVar(&o.missing, "error", "404.html", "")
	f.Func("hide", "", func(names string) error {
		for name := range strings.SplitSeq(names, ",") {
			o.hidden = append(o.hidden, clean(name))
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if n, err := strconv.ParseUint(o.port, 10, 16); err != nil {
		return o, fmt.Errorf("%q is not a port", o.port)
	} else {
		o.port = strconv.FormatUint(n, 10)
	}
	o.fallback, o.missing = clean(o.fallback), clean(o.missing)
	return o, nil
}

// run serves until ctx is done, and lets the answers on their way finish.
func run(ctx context.Context, o options, out io.Writer) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.root.Close()
	listener, err := net.Listen("tcp", ":"+o.port)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving %s on %s\n", o.root, listener.Addr())
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: slowestHeader,
		ReadTimeout:       slowestRequest,
		WriteTimeout:      slowestAnswer,
		IdleTimeout:       longestIdle,
		MaxHeaderBytes:    maxHeader,
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestStop)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		return fmt.Errorf("cut the connections that were left: %w", errors.Join(err, h.Close()))
	}
	return nil
}
