// Package report prints what a candidate believes, as benches/compare reads it: the host's boot clock in
// nanoseconds, and "lead", "stop" or "act".
package report

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func report(what string) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err)
	}
	fmt.Printf("%d %s\n", now.Nano(), what)
}

// Lead says that this candidate now leads.
func Lead() { report("lead") }

// Stop says that it no longer leads.
func Stop() { report("stop") }

// Work prints "act" every five milliseconds in which leads returns true, until it returns false. Without WORK in
// the environment it does nothing: work would hide what an idle leader costs.
func Work(leads func() bool) {
	if os.Getenv("WORK") == "" {
		return
	}
	for leads() {
		report("act")
		time.Sleep(5 * time.Millisecond)
	}
}

// Duration reads a duration from the environment.
func Duration(name string) time.Duration {
	duration, err := time.ParseDuration(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return duration
}
