//go:build !linux

package main

// memory is how many bytes this program may use.
func memory() uint64 { return 16 * mostRoom }
