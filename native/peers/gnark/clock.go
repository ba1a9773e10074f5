package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// cost of one run: CPU time of all threads, wall time, and by how much resident memory rose.
type cost struct {
	cpu, wall, peak float64
	hasPeak         bool
}

// reply is a run's answer, with the names that the Rust program gives.
type reply struct {
	cost
	Sum, Proof string
}

func (r reply) fields() map[string]any {
	found := map[string]any{"cpu_ms": r.cpu, "wall_ms": r.wall, "peak_mib": nil}
	if r.hasPeak {
		found["peak_mib"] = r.peak
	}
	if r.Sum != "" {
		found["sum"] = r.Sum
	}
	if r.Proof != "" {
		found["proof"] = r.Proof
	}
	return found
}

// The kernel's number for CLOCK_PROCESS_CPUTIME_ID.
const processCPUTime = 2

func cpuMilliseconds() float64 {
	var spec syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processCPUTime, uintptr(unsafe.Pointer(&spec)), 0)
	return float64(spec.Nano()) / 1e6
}

func statusMiB(name string) (float64, bool) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), name); found {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err == nil
		}
	}
	return 0, false
}

// measured runs work once. Garbage is collected before, so that none of an earlier run's falls into it; what the run
// itself makes and collects is its own. With memory the run is for its memory: free pages are handed back first.
func measured(memory bool, work func() ([]byte, error)) (cost, []byte, error) {
	var found cost
	before, marked := 0.0, false
	runtime.GC()
	if memory {
		debug.FreeOSMemory()
		marked = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil
		before, _ = statusMiB("VmRSS:")
	}
	wall, cpu := time.Now(), cpuMilliseconds()
	result, err := work()
	found.cpu, found.wall = cpuMilliseconds()-cpu, float64(time.Since(wall).Nanoseconds())/1e6
	if marked {
		var peak float64
		peak, found.hasPeak = statusMiB("VmHWM:")
		found.peak = max(0, peak-before)
	}
	return found, result, err
}
