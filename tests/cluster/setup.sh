#!/usr/bin/env bash
# Builds and unpacks what a cluster of one node needs, into target/tools/cluster. `make test-cluster` calls it,
# after tests/setup.sh. It does nothing if all of it exists. A build from scratch takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install.sh

install_missing iptables:iptables nsenter:util-linux ip:iproute2 runc:runc
compgen -G '/usr/lib/cni/bridge' >/dev/null || install_packages containernetworking-plugins
# The newest kubelet that takes control groups of version 1 and Debian's containerd.
go_programs cluster tests/store/leases/tools k8s.io/kubernetes/cmd/{kubelet,kube-controller-manager,kube-scheduler,kube-proxy}
# Unpacked beside the build: installed as a package, containerd would start as a service.
unpack_program containerd containerd cluster
unpack_program busybox-static busybox cluster
