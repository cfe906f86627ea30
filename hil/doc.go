// Package hil turns a device's kind and address into its driver, and several wires
// into one device.
package hil
