//go:build !linux

package libchdb

import "errors"

func (lib *Library) guardSignals() (restore func(), err error) {
	return nil, errors.New("the embedded engine runs on Linux only")
}
