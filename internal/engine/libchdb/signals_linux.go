package libchdb

import (
	"fmt"
	"syscall"
	"unsafe"
)

// sigaction is the kernel's struct sigaction, the same on amd64 and arm64.
type sigaction struct {
	handler, flags, restorer, mask uint64
}

const (
	numSignals = 64
	// firstRealtime is the kernel's SIGRTMIN. glibc keeps 32 and 33; the engine takes 34 for its
	// stack traces.
	firstRealtime = 32
	saOnStack     = 0x08000000
	maskBytes     = 8
)

func rtSigaction(signal int, next, old *sigaction) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal),
		uintptr(unsafe.Pointer(next)), uintptr(unsafe.Pointer(old)), maskBytes, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func catchable(signal int) bool {
	return signal != int(syscall.SIGKILL) && signal != int(syscall.SIGSTOP)
}

// guardSignals notes the kernel's table of signal handlers; the returned function puts back what
// changed since. The engine replaces handlers (SIGSEGV among them) by its own, without SA_ONSTACK,
// while it loads and while it connects; Go's runtime would then die of any nil dereference instead
// of turning it into a panic. Its real-time handlers are left in place, on the alternate stack.
//
// Loading and connecting are serialized by this, and that is wanted.
func (lib *Library) guardSignals() (restore func(), err error) {
	lib.signals.Lock()
	var saved [numSignals + 1]sigaction
	for s := 1; s <= numSignals; s++ {
		if !catchable(s) {
			continue
		}
		if err := rtSigaction(s, nil, &saved[s]); err != nil {
			lib.signals.Unlock()
			return nil, fmt.Errorf("read handler of signal %d: %w", s, err)
		}
	}
	return func() {
		defer lib.signals.Unlock()
		for s := 1; s <= numSignals; s++ {
			if catchable(s) {
				restoreHandler(s, &saved[s])
			}
		}
	}, nil
}

func restoreHandler(signal int, saved *sigaction) {
	var now sigaction
	if rtSigaction(signal, nil, &now) != nil || now == *saved {
		return
	}
	// sigDefault and sigIgnore are the handlers 0 and 1.
	if signal >= firstRealtime && saved.handler == 0 && now.handler > 1 {
		now.flags |= saOnStack
		_ = rtSigaction(signal, &now, nil) // cannot fail: the signal number was just read with
		return
	}
	_ = rtSigaction(signal, saved, nil)
}
