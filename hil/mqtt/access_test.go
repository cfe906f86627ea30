package mqtt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccess(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		access Access
		want   string // the address that is dialled, or a part of the error
	}{
		{Access{Address: "mqtt://broker"}, "broker:1883"},
		{Access{Address: "mqtts://broker/"}, "broker:8883"},
		{Access{Address: "mqtt://[::1]:1884"}, "[::1]:1884"},
		{Access{Address: "broker:1883"}, "write mqtt://"},
		{Access{Address: "tcp://broker:1883"}, "write mqtt://"},
		{Access{Address: "mqtt://"}, "write mqtt://"},
		{Access{Address: "mqtt://:1883"}, "write mqtt://"},
		{Access{Address: "mqtt://broker:x"}, "write mqtt://"},
		{Access{Address: "mqtt://broker/topic"}, "write mqtt://"},
		{Access{Address: "mqtt://rig:secret@broker"}, "options of their own"},
		{Access{Address: "mqtt://broker", CA: junk}, "write mqtts://"},
		{Access{Address: "mqtts://broker", CA: junk}, "holds no certificate"},
		{Access{Address: "mqtts://broker", CA: junk + "x"}, "no such file"},
		{Access{Address: "mqtts://broker", Cert: junk}, "belong together"},
		{Access{Address: "mqtts://broker", Cert: junk, Key: junk}, "certificate for"},
	} {
		d, err := tt.access.dialer()
		switch {
		case err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%+v: %v, want it to tell of %q, and no secrets", tt.access, err, tt.want)
		case err == nil && d.address != tt.want:
			t.Errorf("%+v: %s, want %s", tt.access, d.address, tt.want)
		}
		if (tt.access.Check() == nil) != (err == nil) {
			t.Errorf("%+v is checked otherwise", tt.access)
		}
	}
}
