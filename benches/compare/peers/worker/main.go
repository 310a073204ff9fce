// The work of a leader, for peers that run a command: it leads for as long as it lives.
package main

import (
	"time"

	"bellwether.example/compare/report"
)

func main() {
	report.Lead()
	report.Work(func() bool { return true })
	// Longer than a measurement. It ends then, also if what started it was killed.
	time.Sleep(30 * time.Minute)
}
