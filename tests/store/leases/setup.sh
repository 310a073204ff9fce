#!/usr/bin/env bash
# Builds the API server of Kubernetes, and a candidate of client-go, into target/tools/leases. tests/setup.sh
# calls it. It does nothing if they exist. A build from scratch takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tests/install.sh

install_missing etcd:etcd-server
go_programs leases tests/store/leases/tools k8s.io/kubernetes/cmd/kube-apiserver ./rival
