//go:build unix

package main

import "syscall"

// private lets nobody but this user read what the program creates from now on.
func private() { syscall.Umask(0o077) }
