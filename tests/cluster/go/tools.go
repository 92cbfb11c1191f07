//go:build tools

// Package tools keeps the commands that the cluster tests need in go.mod and go.sum, so that `go build` gets the same
// sources everywhere, checked against go.sum.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
