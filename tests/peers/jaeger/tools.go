//go:build tools

// Package tools names the program that is built from this module, so that `go mod tidy` keeps it.
package tools

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
