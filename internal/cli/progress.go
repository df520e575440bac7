package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// progressEvery is how often a long run gives a sign of life.
const progressEvery = 2 * time.Second

// showProgress prints a count from time to time until the returned function is called.
func showProgress(w io.Writer, format string, count *atomic.Uint64) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends by stop
		defer close(ended)
		tick := time.NewTicker(progressEvery)
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
