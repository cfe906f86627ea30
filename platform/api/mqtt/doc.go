// Package mqtt is the MQTT listener of a plant: a broker in this process, for devices
// that connect to us, and a client of somebody else's broker.
//
//	device/{id}/data      from the device: the body of a sync, or an array of them
//	device/{id}/control   to the device: the body of a control
//	device/{id}/ack       from the device: its answer to a command
//	device/{id}/event     from the device: what has happened there
//
// A client is a device (user: its id, password: its token; or a client certificate with
// its id as common name), or somebody with another token (user: token). What is published
// goes into the plant by the way that everything takes and is never handed from client to
// client: readings through ingest into the log, answers to the driver of the device,
// commands of people through the log and the guard. What subscribers hear is fanned out
// from the log.
//
// # A PUBACK is a promise
//
// It is sent when the message is in the log and synced, in the order in which the messages
// came. What waits for the log holds up neither the answers to commands that come behind
// it on the same connection nor a ping: each connection has a short queue of its own.
//
// A body that will never be accepted is answered too, else its sender would repeat it for
// ever: with a reason code in MQTT 5, and in both versions with an event of the plant.
// What the plant has no room for is refused with a reason code in MQTT 5; MQTT 3.1.1 has
// no word for it, so there the connection ends without a PUBACK and the client sends again.
//
// # Nothing is of the past
//
// There are no sessions and no retained messages: a command that cannot reach its device
// now has failed. The broker tells MQTT 5 clients so; what a client wishes beyond it is
// taken as not said, but a retained command is refused.
package mqtt
