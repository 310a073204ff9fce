// A candidate of client-go's leaderelection, as its example has it, with ReleaseOnCancel and its documented
// durations (15 s, 10 s, 2 s) or the same in proportion. LISTEN serves /leader by IsLeader.
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"bellwether.example/compare/report"
)

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var elector *leaderelection.LeaderElector
	elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: "default", Name: os.Getenv("ELECTION")},
			Client:     kubernetes.NewForConfigOrDie(config).CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: os.Getenv("IDENTITY")},
		},
		ReleaseOnCancel: true,
		LeaseDuration:   report.Duration("LEASE"),
		RenewDeadline:   report.Duration("LEASE") * 10 / 15,
		RetryPeriod:     report.Duration("LEASE") * 2 / 15,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				report.Lead()
				report.Work(func() bool { return ctx.Err() == nil })
			},
			OnStoppedLeading: func() { report.Stop() },
		},
	})
	if err != nil {
		panic(err)
	}
	if address := os.Getenv("LISTEN"); address != "" {
		http.HandleFunc("/leader", func(response http.ResponseWriter, _ *http.Request) {
			if !elector.IsLeader() {
				response.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		go func() { panic(http.ListenAndServe(address, nil)) }()
	}
	elector.Run(ctx)
}
