package deploy_test

import (
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/agentaudit/agentaudit/internal/notify"
)

// The manifest asks for what the notifier uses, and for nothing else.
func TestSlackManifest(t *testing.T) {
	var manifest struct {
		OAuthConfig struct {
			Scopes struct {
				Bot, User []string
			}
		} `yaml:"oauth_config"`
		Settings struct {
			Interactivity struct {
				IsEnabled  bool   `yaml:"is_enabled"`
				RequestURL string `yaml:"request_url"`
			}
			SocketMode    bool `yaml:"socket_mode_enabled"`
			TokenRotation bool `yaml:"token_rotation_enabled"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join("deploy", "slack", "manifest.yaml"))), &manifest); err != nil {
		t.Fatal(err)
	}
	if want := []string{"chat:write", "channels:history", "groups:history"}; !slices.Equal(manifest.OAuthConfig.Scopes.Bot, want) || manifest.OAuthConfig.Scopes.User != nil {
		t.Errorf("scopes %v", manifest.OAuthConfig.Scopes)
	}
	to, err := url.Parse(manifest.Settings.Interactivity.RequestURL)
	if err != nil || !manifest.Settings.Interactivity.IsEnabled || to.Scheme != "https" || to.Path != notify.ActionsPath {
		t.Errorf("presses of buttons go to %+v, %v", manifest.Settings.Interactivity, err)
	}
	// Tokens that change every twelve hours, and sockets, are not supported.
	if manifest.Settings.TokenRotation || manifest.Settings.SocketMode {
		t.Errorf("%+v", manifest.Settings)
	}
}
