// Package mqtt is the driver of devices that speak to a broker of somebody else's, on
// topics of their own:
//
//	device/{id}/data      what it measures: the body of a sync, or an array of them
//	device/{id}/control   what it is told: the body of a control
//	device/{id}/ack       its answer: {"deviceId","commandId","status","reason","timestamp"}
//	device/{id}/event     {"eventId","deviceId","eventType","severity","description","timestamp"}
//
// Power and current count charging above zero, as everywhere. All devices behind one
// broker and one user share a connection. Nothing is queued for a broker that is away:
// a command that cannot be sent now has failed, because it would be carried out when
// nobody means it any more. Retained messages are of the past: retained readings are
// as old as they say, and devices refuse retained commands.
//
// A device takes its setpoint back when the duration it was given is over. The driver
// gives it the dead-man time and renews it while the setpoint holds, so that losing
// this process stops the device.
package mqtt
