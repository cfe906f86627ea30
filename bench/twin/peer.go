//go:build cgo

package main

/*
#cgo CFLAGS: -O3 -march=native
#include "sweep.h"
*/
import "C"

import (
	"unsafe"

	"yunchu/twin/kernel"
)

// peer is the sweep in C, where this machine and its compiler have AVX-512.
func peer() (kernel.Kernel, bool) {
	if C.has_sweep == 0 {
		return kernel.Kernel{}, false
	}
	return kernel.Foreign("C",
		func(s *kernel.Slot, places *kernel.Place, k *kernel.Tick, d *kernel.Drive, from, to int, list *kernel.Rare) int {
			return int(C.sweep((*C.slot)(unsafe.Pointer(s)), (*C.place)(unsafe.Pointer(places)), (*C.tick)(unsafe.Pointer(k)),
				(*C.drive)(unsafe.Pointer(d)), C.int64_t(from), C.int64_t(to), (*C.rare)(unsafe.Pointer(list))))
		},
		func(s *kernel.Slot, k *kernel.Tick, d *kernel.Drive, list *kernel.Rare, listed int) {
			C.predict_listed((*C.slot)(unsafe.Pointer(s)), (*C.tick)(unsafe.Pointer(k)),
				(*C.drive)(unsafe.Pointer(d)), (*C.rare)(unsafe.Pointer(list)), C.int64_t(listed))
		}), true
}
