package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/sshd"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

// cli is one command line, asked for once: on the machine itself, or over SSH
// in the daemon's own process, where many run at a time. It holds nothing that
// another one could see.
type cli struct {
	client  *client.Client
	in      io.Reader
	out     io.Writer // data
	err     io.Writer // talk
	term    *terminal // nil when nobody sits at one
	color   bool
	local   bool // on the machine itself, where serve and its like make sense
	version string
	signals <-chan string // for the program that run runs; may be nil

	words  []string // the command line
	app    string   // --app
	format string   // --format
	global globalFlags
}

// terminal is where whoever asks sits.
type terminal struct {
	size   runtime.Size
	resize <-chan runtime.Size
	out    io.Writer // as it is, for a program that drives it itself
	// raw hands every key to the program that is run; restore undoes it.
	raw func() (restore func(), err error)
}

// exitCode ends a command with the code of the program that it ran.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run does what the words say and returns the exit code.
func (c *cli) run(ctx context.Context, words []string) int {
	err := c.execute(ctx, words)
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if err == nil {
		return 0
	}
	if errors.Is(err, sshd.ErrUnread) {
		return 141 // as a shell says of a command whose reader has gone
	}
	f := fault.From(err)
	if f == nil {
		f = &fault.Error{Kind: fault.Failed, Message: err.Error()}
	}
	if errors.Is(err, context.Canceled) {
		return 130 // as a shell says of a command that was interrupted
	}
	c.printFault(f)
	return int(f.Kind)
}

func (c *cli) execute(ctx context.Context, words []string) error {
	for _, word := range words {
		if !utf8.ValidString(word) {
			return usage("the command line holds text that is not UTF-8").Hint("encode binary values, for example as base64")
		}
	}
	if len(words) > 0 && words[0] == "--" { // as ssh hands on what was kept from its own flags
		words = words[1:]
	}
	c.words = words
	root := c.tree()
	root.SetArgs(append([]string{}, words...)) // nil would be the process's own
	return root.ExecuteContext(ctx)
}

// usage is a command line that makes no sense (exit code 2).
func usage(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.CommandUsage, format, args...)
}

// command is one entry of the help, and what it does. One of the name of a verb
// has its words from the verb.
type command struct {
	after   string // the command that it comes after, where it is no verb; "" is the end of the help
	use     string // "ps:scale APP [TYPE=N ...]"
	short   string // a line of at most 40 columns
	long    string
	example string // without "berth "
	aliases []string

	local    bool // not over SSH
	noApp    bool // the first word is no app
	maybeApp bool // it may be left out
	min, max int  // words after the app; max < 0 is any number
	reads    bool // has --format
	literal  bool // flags end at the first word, the rest is another program's

	flags    func(*cobra.Command)
	keys     func() []string               // of a report: its flags that print one value
	complete func(words []string) []string // what may follow the words after the app; may be nil
	run      func(ctx context.Context, app string, words []string) error
}

func (cmd command) name() string {
	name, _, _ := strings.Cut(cmd.use, " ")
	return name
}

// topic is a heading of the help.
type topic struct {
	title    string
	commands []command
}

// written are the commands that are more than their verb, and those that are
// none.
func (c *cli) written() []command {
	return slices.Concat(
		c.appCommands(), c.processCommands(), c.oneOffCommands(), c.configCommands(), c.builderCommands(), c.logCommands(), c.cronCommands(),
		c.letsencryptCommands(), c.certsCommands(), c.requestCommands(),
		c.networkCommands(), c.storageCommands(), c.eventCommands(), c.registryCommands(), c.applianceCommands(), c.dokkuCommands(),
	)
}

// topics are all commands: one for each verb, in the order of the table, and
// those that are no verb after the one that they name, or at the end.
func (c *cli) topics() (topics []topic) {
	written := map[string]command{}
	after := map[string][]command{}
	for _, cmd := range c.written() {
		written[cmd.name()] = cmd
		after[cmd.after] = append(after[cmd.after], cmd)
	}
	var add func(t *topic, cmd command)
	add = func(t *topic, cmd command) {
		t.commands = append(t.commands, cmd)
		for _, next := range after[cmd.name()] {
			add(t, next)
		}
	}
	for _, v := range verbs.All() {
		if len(topics) == 0 || topics[len(topics)-1].title != v.Topic {
			topics = append(topics, topic{title: v.Topic})
		}
		if v.Hidden {
			for _, cmd := range after[v.Name] {
				add(&topics[len(topics)-1], cmd)
			}
			continue
		}
		cmd, ok := written[v.Name]
		switch {
		case ok:
		case v.Properties != nil && !v.Reads:
			cmd = c.setCommand(v)
		case isReport(v):
			cmd = c.reportCommand(v)
		default:
			cmd = c.fromVerb(v)
		}
		cmd.short, cmd.long, cmd.example, cmd.aliases, cmd.complete = v.Short, v.Long, v.Example, v.Aliases, v.Values
		add(&topics[len(topics)-1], cmd)
		delete(written, v.Name)
	}
	for _, cmd := range after[""] {
		if _, noVerb := written[cmd.name()]; noVerb {
			add(&topics[len(topics)-1], cmd)
		}
	}
	return topics
}

func (c *cli) tree() *cobra.Command {
	root := &cobra.Command{
		Use:                "berth",
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // ours knows all names
		Args:               cobra.ArbitraryArgs,
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.PersistentFlags().StringVarP(&c.app, "app", "a", "", "the app, in place of the first argument")
	c.global.flags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd.HasParent() {
			return usage("%v", err).Hint("usage: berth %s", cmd.Use)
		}
		if word := c.firstWord(c.words); word != "" && !slices.Contains(c.names(), word) { // its flags are not the matter
			return c.unknown(word)
		}
		return usage("%v", err).Hint("usage: berth COMMAND [ARGS]; berth help lists the commands")
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { c.help(cmd) })
	all := false // help shows all of them in any case
	help := &cobra.Command{
		Use: "help [COMMAND]", Short: "show help for a command", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return c.names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, words []string) error {
			if len(words) == 0 {
				c.help(root)
				return nil
			}
			if cmd, _, err := root.Find(words); err == nil && cmd != root {
				c.help(cmd)
				return nil
			}
			return c.helpNoun(words[0])
		},
	}
	help.Flags().BoolVar(&all, "all", false, "all commands")
	root.SetHelpCommand(help)
	root.RunE = func(cmd *cobra.Command, words []string) error {
		if c.global.version {
			return c.printDokkuVersion()
		}
		if len(words) == 0 {
			c.help(root)
			return nil
		}
		if noun, ok := strings.CutSuffix(words[0], ":help"); ok {
			return c.helpNoun(noun)
		}
		return c.unknown(words[0])
	}
	for _, t := range c.topics() {
		for _, cmd := range t.commands {
			if c.local || !cmd.local {
				made := c.cobra(cmd)
				if cmd.keys != nil {
					c.addKeys(root, made, cmd.keys)
				}
				root.AddCommand(made)
			}
		}
	}
	return root
}

func (c *cli) cobra(spec command) *cobra.Command {
	cmd := &cobra.Command{
		Use: spec.use, Short: spec.short, Long: spec.long, Example: spec.example, Aliases: spec.aliases,
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
			if spec.complete != nil && len(words) > 0 {
				return spec.complete(words[1:]), cobra.ShellCompDirectiveNoFileComp
			}
			if spec.noApp || len(words) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return c.appNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		},
	}
	if spec.reads {
		cmd.Flags().StringVar(&c.format, "format", "table", "table, or json for scripts")
	}
	if spec.literal {
		cmd.Flags().SetInterspersed(false)
	}
	if spec.flags != nil {
		spec.flags(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if spec.reads && c.format != "table" && c.format != "json" {
			return usage("there is no format %q", c.format).Hint("the formats are table and json")
		}
		if c.global.version {
			return c.printDokkuVersion()
		}
		defer c.global.traced(c.err, cmd.Name())()
		app, words, err := spec.place(c.app, words)
		if err != nil {
			return err
		}
		return spec.run(cmd.Context(), app, words)
	}
	return cmd
}

// place says which of the words is the app, unless --app has said it, and that
// there are as many others as the command takes.
func (cmd command) place(app string, words []string) (string, []string, error) {
	switch {
	case cmd.noApp || len(words) == 0:
	case app == "":
		app, words = words[0], words[1:]
	case words[0] == app && cmd.max >= 0 && len(words) > cmd.max:
		words = words[1:] // Dokku's client names the app twice: --app shop apps:create shop
	}
	var err *fault.Error
	switch {
	case app == "" && !cmd.noApp && !cmd.maybeApp:
		err = usage("%s needs the name of an app", cmd.name())
	case len(words) < cmd.min:
		err = usage("%s is missing an argument", cmd.name())
	case cmd.max >= 0 && len(words) > cmd.max:
		err = usage("%s does not take %q", cmd.name(), words[cmd.max])
	default:
		return app, words, nil
	}
	return "", nil, err.Hint("usage: berth %s", cmd.use)
}

// firstWord returns the first of the words that is no flag, nor the value of
// the one flag that every command has.
func (c *cli) firstWord(words []string) string {
	for i, word := range words {
		value := i > 0 && (words[i-1] == "-a" || words[i-1] == "--app")
		if !strings.HasPrefix(word, "-") && !value {
			return word
		}
	}
	return ""
}

// unknown is a word that is no command.
func (c *cli) unknown(word string) error {
	f := fault.New(fault.Usage, code.CommandUnknown, "berth has no command %.60q", word)
	for _, hint := range verbs.Advise(word, c.names()) {
		f.Hint("%s", hint)
	}
	return f
}

func (c *cli) names() (names []string) {
	for _, t := range c.topics() {
		for _, cmd := range t.commands {
			if c.local || !cmd.local {
				names = append(append(names, cmd.name()), cmd.aliases...)
			}
		}
	}
	return append(names, "help")
}

// appNames completes the name of an app; when it cannot, it says nothing.
func (c *cli) appNames(ctx context.Context) (names []string) {
	var apps []struct {
		Name string `json:"name"`
	}
	if c.client.Call(ctx, "apps:list", nil, &apps, nil) != nil {
		return nil
	}
	for _, app := range apps {
		names = append(names, app.Name)
	}
	return names
}

// ask asks the daemon for a verb; its progress is talk.
func (c *cli) ask(ctx context.Context, verb string, args, result any) error {
	return c.client.Call(ctx, verb, args, result, c.talk())
}

// read asks for a verb and prints its result: as it is with --format json, else
// by table.
func read[R any](ctx context.Context, c *cli, verb string, args any, table func(*table, R)) error {
	var raw json.RawMessage
	if err := c.ask(ctx, verb, args, &raw); err != nil {
		return err
	}
	if c.format == "json" {
		return c.printJSON(raw)
	}
	var result R
	if err := json.Unmarshal(raw, &result); err != nil {
		return fmt.Errorf("read the answer to %s: %w", verb, err)
	}
	t := c.newTable()
	table(t, result)
	return t.flush()
}

// show prints what was found out here as read prints an answer.
func show[R any](c *cli, result R, table func(*table, R)) error {
	if c.format == "json" {
		raw, err := json.Marshal(result)
		if err != nil {
			return err
		}
		return c.printJSON(raw)
	}
	t := c.newTable()
	table(t, result)
	return t.flush()
}

// say writes a line of talk.
func (c *cli) say(format string, args ...any) { fmt.Fprintf(c.talk(), format+"\n", args...) }

// help prints what there is, or what one command does.
func (c *cli) help(cmd *cobra.Command) {
	if cmd.HasParent() {
		c.helpCommand(cmd)
		return
	}
	fmt.Fprint(c.out, "berth: git push an app, and it runs\n\nusage: berth COMMAND [ARGS]      elsewhere: ssh berth@HOST COMMAND [ARGS]\n")
	for _, t := range c.topics() {
		fmt.Fprintf(c.out, "\n%s\n", t.title)
		for _, cmd := range t.commands {
			if c.local || !cmd.local {
				fmt.Fprintf(c.out, "  %-37s %s\n", cmd.use, cmd.short)
			}
		}
	}
	fmt.Fprint(c.out, "\nberth help COMMAND shows its flags and an example. APP may be given as -a APP.\n"+
		"--quiet omits headers and messages, --force skips confirmations, --trace shows\nhow long the command took. They go before or after the command.\n")
}

// helpNoun prints the commands of a noun, as Dokku's apps:help does.
func (c *cli) helpNoun(noun string) error {
	found := false
	for _, t := range c.topics() {
		for _, cmd := range t.commands {
			if (cmd.name() == noun || strings.HasPrefix(cmd.name(), noun+":")) && (c.local || !cmd.local) {
				found = true
				fmt.Fprintf(c.out, "%-37s %s\n", cmd.use, cmd.short)
			}
		}
	}
	if !found {
		return c.unknown(noun)
	}
	return nil
}

func (c *cli) helpCommand(cmd *cobra.Command) {
	fmt.Fprintf(c.out, "%s\n\nusage: berth %s\n", cmd.Short, cmd.Use)
	if cmd.Long != "" {
		fmt.Fprintf(c.out, "\n%s\n", cmd.Long)
	}
	if flags := cmd.LocalNonPersistentFlags().FlagUsagesWrapped(80); flags != "" {
		fmt.Fprintf(c.out, "\nflags\n%s", flags)
	}
	if cmd.Example != "" {
		fmt.Fprint(c.out, "\nexample\n")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			fmt.Fprintf(c.out, "  berth %s\n", line)
		}
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(c.out, "\nalso: %s\n", strings.Join(slices.Sorted(slices.Values(cmd.Aliases)), ", "))
	}
}
