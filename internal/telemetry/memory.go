package telemetry

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// containerShare of a container's memory is left to the Go heap; the rest is for stacks, the runtime itself
// and memory that the operating system counts but Go does not.
const containerShare = 0.9

// garbagePercent is how much garbage there may be before it is collected, in percent of what lives, below a
// limit of memory. Go's own 100 keeps memory low where nothing else bounds it; where a limit does, collecting
// less often saves a tenth of the processor time of sealing.
const garbagePercent = 400

// LimitMemory sets the soft limit of the Go heap and returns it: wanted if that is not 0, else nine tenths of
// the control group's limit. Without either, or if the variable GOMEMLIMIT is set, it leaves the limit as it
// is. The return value 0 means that there is no limit. With a limit garbage is collected less often, unless
// the variable GOGC says how often.
func LimitMemory(wanted int64) int64 {
	if os.Getenv("GOMEMLIMIT") == "" {
		if wanted == 0 {
			wanted = int64(containerShare * float64(controlGroupLimit(os.DirFS("/"))))
		}
		if wanted > 0 {
			debug.SetMemoryLimit(wanted)
		}
	}
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	return limit
}

// controlGroupLimit returns the smallest memory limit of the process's control group and those above it, in
// bytes, 0 if there is none. Version 2 of the interface is read first, then version 1.
func controlGroupLimit(root fs.FS) int64 {
	var smallest int64
	consider := func(name string) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return
		}
		// Version 2 says "max" and version 1 a number near 2⁶³ when there is no limit.
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit > 0 && limit < 1<<60 && (smallest == 0 || limit < smallest) {
			smallest = limit
		}
	}
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(groups)) {
		// "0::/a/b" in version 2, "7:memory:/a/b" in version 1.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if parts[1] != "" {
			if !strings.Contains(parts[1], "memory") {
				continue
			}
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			consider(path.Join(mount, group, file))
			if group == "/" {
				break
			}
		}
	}
	return smallest
}
