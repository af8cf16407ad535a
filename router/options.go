package router

// Options are how a route treats its requests. The zero value is the default.
// They are compiled once, when the route is swapped in.
type Options struct {
	// Plain answers plain HTTP too, in place of sending it to HTTPS.
	Plain bool
}

// Validate reports every value that makes no sense.
func (o Options) Validate() error {
	return nil
}

// options are Options as requests read them.
type options struct {
	plain bool
}

func (o Options) compile() *options {
	return &options{plain: o.Plain}
}
