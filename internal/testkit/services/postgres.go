package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const postgresReadyWithin = 60 * time.Second

// ErrNoPostgres: no PostgreSQL is installed.
var ErrNoPostgres = errors.New("no PostgreSQL is installed (make test-deps installs it on Debian; else install initdb and postgres, or set AGENTAUDIT_TEST_POSTGRES)")

// Postgres is a throw-away cluster with one superuser.
type Postgres struct {
	DSN    string
	server *server
}

// FindPostgres returns the folder of initdb and postgres: of the newest version under /usr/lib/postgresql, else of PATH.
func FindPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for other names
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrNoPostgres
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// StartPostgres makes a new cluster in dir, which it gives to the user that the server runs as, and waits until it answers.
func StartPostgres(ctx context.Context, dir string) (*Postgres, error) {
	bin, err := FindPostgres()
	if err != nil {
		return nil, err
	}
	uid, gid, err := postgresUser()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	if uid >= 0 {
		for _, path := range []string{dir, data} {
			if err := os.Chown(path, uid, gid); err != nil {
				return nil, fmt.Errorf("give PostgreSQL's folder to its user: %w", err)
			}
		}
	}
	initdb := asUser(exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "audit", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"), uid, gid)
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w:\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(ports[0]),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=32MB")
	cmd.Dir = dir
	s, err := launch("PostgreSQL", cmd, filepath.Join(dir, "postgres.log"), uid, gid)
	if err != nil {
		return nil, err
	}
	p := &Postgres{DSN: fmt.Sprintf("postgres://audit@127.0.0.1:%d/postgres?sslmode=disable", ports[0]), server: s}
	err = s.ready(ctx, postgresReadyWithin, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.DSN)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	if err != nil {
		s.kill()
		return nil, err
	}
	return p, nil
}

// Stop shuts the server down at once, whoever is connected.
func (p *Postgres) Stop() error { return p.server.stop(syscall.SIGINT) }

// postgresUser is whom to run as: PostgreSQL refuses root. -1 means as we are.
func postgresUser() (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return -1, -1, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		return uid, gid, nil
	}
	return 0, 0, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}
