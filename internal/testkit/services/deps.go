package services

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// dependency is a program that the tests need, and the Debian package that has it.
type dependency struct {
	name, debian string
	find         func() error
}

func dependencies() []dependency {
	program := func(name string) func() error {
		return func() error {
			_, err := exec.LookPath(name)
			return err
		}
	}
	return []dependency{
		{"Java 17", "openjdk-17-jre-headless", program("java")},
		{"Maven", "maven", program("mvn")},
		{"PostgreSQL", "postgresql", func() error { _, err := FindPostgres(); return err }},
		{"kcat", "kcat", program("kcat")},
		{"promtool", "prometheus", program("promtool")},
	}
}

// InstallDependencies installs what the tests need and is not there, through apt-get if this is Debian (or what derives from it) and we are
// root. Elsewhere it is an error that names what is missing.
func InstallDependencies(ctx context.Context, progress io.Writer) error {
	names, packages := missing()
	if len(names) == 0 {
		return nil
	}
	_, debian := os.Stat("/etc/debian_version")
	if debian != nil || os.Getuid() != 0 {
		return fmt.Errorf("the tests need %s: install them (Debian, as root: apt-get install %s)", strings.Join(names, ", "), strings.Join(packages, " "))
	}
	fmt.Fprintf(progress, "installing %s\n", strings.Join(packages, " "))
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	if names, _ := missing(); len(names) > 0 {
		return fmt.Errorf("the tests need %s, which apt-get did not bring", strings.Join(names, ", "))
	}
	return nil
}

func missing() (names, packages []string) {
	for _, d := range dependencies() {
		if d.find() != nil {
			names = append(names, d.name)
			packages = append(packages, d.debian)
		}
	}
	return names, packages
}
