// A candidate by pg_advisory_lock: a session waits for the lock, and leads until its connection breaks. While it
// leads it pings the server, once each retry period of client-go and with its renew deadline, in proportion to the
// same lease: the lock itself has no duration.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"bellwether.example/compare/report"
)

func main() {
	lease := report.Duration("LEASE")
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	connection, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	defer connection.Close(context.Background())
	if _, err := connection.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", os.Getenv("ELECTION")); err != nil {
		panic(err)
	}
	holds, lost := context.WithCancel(ctx)
	report.Lead()
	go report.Work(func() bool { return holds.Err() == nil })
	for pause := time.NewTicker(lease * 2 / 15); holds.Err() == nil; {
		select {
		case <-pause.C:
		case <-ctx.Done():
			lost()
			continue
		}
		ping, done := context.WithTimeout(context.Background(), lease*10/15)
		if connection.Ping(ping) != nil {
			lost()
		}
		done()
	}
	report.Stop()
}
