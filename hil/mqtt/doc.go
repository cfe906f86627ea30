// Package mqtt is the driver of devices that speak to a broker of somebody else's, on
// topics of their own:
//
//	device/{id}/data      what it measures: the body of a sync, or an array of them
//	device/{id}/control   what it is told: the body of a control
//	device/{id}/ack       its answer: {"deviceId","commandId","status","reason","timestamp"}
//	device/{id}/event     {"eventId","deviceId","eventType","severity","description","timestamp"}
//
// Power and current count charging above zero, as everywhere. All devices behind one
// broker and one user share a connection.
//
// # What is of the past
//
// Nothing is queued for a broker that is away: a command that cannot be sent now has
// failed, because it would be carried out when nobody means it any more. For the same
// reason a message that was on its way when a connection ended is not sent again, and
// devices refuse commands that the broker has retained or that are old. A retained
// reading counts only while it is as young as any other must be.
//
// # Losing the controller
//
// A device takes its setpoint back when the duration it was given is over. The driver
// gives it the dead-man time and renews it while the setpoint holds, so that losing
// this process, the broker or the network stops the device. Durations are in seconds,
// with their fraction.
//
// # An answer is a word
//
// There is no register to read back: done means that the device says so, and the power
// of the acknowledgement is what it was asked for. A refusal may begin its reason with
// a code and a colon, such as "LOCAL: …", which becomes that of the acknowledgement.
//
// Each command has an id of its own on the wire, which begins with that of its sender:
// devices carry out an id once, and remember it longer than a sender that starts anew.
package mqtt
