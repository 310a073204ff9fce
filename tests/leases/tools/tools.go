//go:build tools

// What the tests of the Kubernetes store run: the API server itself, built from its own module.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
