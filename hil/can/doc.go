// Package can is the driver of battery managements that speak CAN: classic frames of
// up to 8 bytes, described by a CAN database (DBC) and by a profile that says which of
// its signals is which quantity.
//
// A battery management reports and limits; it takes no power. What it permits comes out
// as MaxCharge and MaxDischarge of a reading; the converter, on another wire, is given
// the power.
//
// # Addresses
//
//	slcan:///dev/ttyACM0?baud=115200   an adapter with Lawicel's ASCII protocol on a serial port or a pseudo-terminal
//	slcan://./can0                     the same by a relative path
//	slcan://host:port                  the same protocol through a serial server (the host has a port)
//	socketcand://host:port/can0        a socketcand server and one of its buses
//	socketcan://can0                   an interface of the Linux kernel
//
// # Signs
//
// Which direction of current a battery management counts positive differs between
// vendors, and so does the sign of its limits: both are settings of the profile, and the
// first can be set for one device. Test them on the rig before anything is written.
package can
