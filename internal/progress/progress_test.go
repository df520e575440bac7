package progress

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		var count atomic.Uint64
		stop := Show(&out, "%d of many\n", &count)
		time.Sleep(Every - time.Nanosecond) // of a fake clock
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("too early: %q", out.String())
		}
		count.Store(7)
		time.Sleep(Every)
		count.Store(8)
		time.Sleep(Every)
		stop()
		time.Sleep(10 * Every)
		if out.String() != "7 of many\n8 of many\n" {
			t.Errorf("wrote %q", out.String())
		}
	})
}
