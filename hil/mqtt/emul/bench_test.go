package emul_test

import (
	"fmt"
	"testing"
	"time"

	"yunchu/hil/mqtt"
	"yunchu/platform/device"
)

// BenchmarkCommand is a command and its answer over a broker: driver, broker, device,
// broker, driver.
func BenchmarkCommand(b *testing.B) {
	m := newBroker(b)
	s := serve(b, m.access())
	for b.Loop() {
		if a := s.setPower(5, time.Minute); a.Status != device.Done {
			b.Fatalf("%+v", a)
		}
	}
}

// BenchmarkReadings is how fast readings of a thousand devices come through one
// connection.
func BenchmarkReadings(b *testing.B) {
	m := newBroker(b)
	const devices = 1000
	all := make([]*mqtt.Driver, devices)
	for i := range all {
		d, err := mqtt.New(mqtt.Options{ID: id("many", i), Access: m.access()})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		all[i] = d
	}
	h := connect(b, m.access())
	await(b, "the driver is there", func() bool { return !away(b, all[0]) })
	kw := 0.0
	for b.Loop() {
		kw++
		for i := range all {
			topic, now := id("many", i), time.Now().UnixMilli()
			body := fmt.Appendf(nil, `{"deviceId":%q,"timestamp":%d,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":%g,"temperature":25.3,"status":"charging"}}`, topic, now, kw)
			if _, err := h.link.Send(mqtt.Outgoing{Topic: mqtt.Topic(topic, "data"), Body: body}); err != nil {
				b.Fatal(err)
			}
		}
		for i, d := range all {
			await(b, fmt.Sprintf("reading of %d", i), func() bool { return power(b, d) == kw })
		}
	}
	b.ReportMetric(devices*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}
