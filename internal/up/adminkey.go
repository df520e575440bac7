package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
)

// makeAdminKey makes, once, an API key of the role admin for whoever has the folder. The file comes first, so that a crash leaves no key in the vault that
// nobody has. A key that was revoked stays so.
func (f Folder) makeAdminKey(ctx context.Context, c config.Config) (err error) {
	if err := durable.Create(f.adminKey(), []byte(apikey.New().Reveal()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the admin's API key: %w", err)
	}
	text, err := os.ReadFile(f.adminKey())
	if err != nil {
		return fmt.Errorf("read the admin's API key: %w", err)
	}
	key, err := apikey.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %w: delete it, and a new one is made", f.adminKey(), err)
	}
	record, err := key.Record(apikey.Admin, "", "agentaudit up", time.Now())
	if err != nil {
		return err
	}
	v, err := process.OpenVault(ctx, c, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	_, err = privacy.AddAPIKey(ctx, v, record)
	return err
}
