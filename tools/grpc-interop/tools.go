//go:build tools

// Package tools pins the version of grpc-go whose interop client and server `make conformance-grpc` builds.
package tools

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
