// Command agentaudit is the command line: it runs everything on one machine, and checks and reads the logs.
package main

import (
	"os"

	"github.com/agentaudit/agentaudit/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)) }
