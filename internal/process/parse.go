package process

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/agentaudit/agentaudit/internal/telemetry"
)

// Parse reads args into flags. It returns done = true, and the exit code, when there is nothing left to do: help
// or the version was printed, or the arguments were wrong.
func Parse(name, help string, flags any, args []string, stdout, stderr io.Writer) (code int, done bool) {
	_, code, done = ParseCommand(name, help, flags, args, stdout, stderr)
	return code, done
}

// ParseCommand is Parse for programs with several commands.
func ParseCommand(name, help string, flags any, args []string, stdout, stderr io.Writer) (parsed *kong.Context, code int, done bool) {
	exited := false
	parser, err := kong.New(flags,
		kong.Name(name),
		kong.Description(help),
		kong.Writers(stdout, stderr),
		kong.Exit(func(exit int) { exited, code = true, exit }),
		kong.Vars{"version": telemetry.ReadBuild().Version},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, Fail(stderr, name, err), true
	}
	parsed, err = parser.Parse(args)
	if exited {
		return nil, code, true
	}
	if err != nil {
		command := name
		var wrong *kong.ParseError
		if errors.As(err, &wrong) && wrong.Context.Selected() != nil {
			command = wrong.Context.Selected().FullPath()
		}
		return nil, Fail(stderr, name, fmt.Errorf("%w (see %s --help)", err, command)), true
	}
	return parsed, ExitGood, false
}

// Fail writes err as one line and returns ExitFailed.
func Fail(stderr io.Writer, name string, err error) int {
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
	return ExitFailed
}
