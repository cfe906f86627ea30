//go:build !amd64 || kernelgen

package kernel

func vectorKernels() []Kernel { return nil }
