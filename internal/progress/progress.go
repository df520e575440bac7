// Package progress gives signs of life while something takes long.
package progress

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Every is how often a long run says how far it is.
const Every = 2 * time.Second

// Show writes a count from time to time until the returned function is called; behind that nothing more is written. The format has one verb, for the count.
// What cannot be written is not missed.
func Show(w io.Writer, format string, count *atomic.Uint64) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends by stop
		defer close(ended)
		tick := time.NewTicker(Every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = fmt.Fprintf(w, format, count.Load())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
