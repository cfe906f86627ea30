package mqtt

import "testing"

// No message makes a decoder panic, and what is accepted is for the device.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		`{"deviceId":"rig","timestamp":1703123456789,"data":{"soc":75.5,"status":"charging"}}`,
		`[{"deviceId":"rig","timestamp":1,"data":{}}]`,
		`{"deviceId":"rig","commandId":"x","status":"done","timestamp":1}`,
		`{"deviceId":"rig","commandId":"x","command":"setPower","parameters":{"power":1e999}}`,
		`[[[[[[`, `{"data":null}`, "\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if rows, err := ParseData("rig", b); err == nil {
			for i := range rows {
				if rows[i].At <= 0 {
					t.Errorf("a reading of %d", rows[i].At)
				}
				ValuesOf(&rows[i])
			}
		}
		if a, err := ParseAck("rig", b); err == nil && (a.DeviceID != "rig" || a.CommandID == "") {
			t.Errorf("%+v", a)
		}
		if c, err := ParseControl("rig", b); err == nil && c.DeviceID != "rig" {
			t.Errorf("%+v", c)
		}
	})
}
