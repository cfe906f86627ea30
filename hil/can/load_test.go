package can_test

import (
	"testing"

	"yunchu/hil/can"
)

func TestShippedProfilesLoad(t *testing.T) {
	for _, name := range can.Shipped() {
		p, err := can.LoadProfile(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if p.Name != name || len(p.Sources) == 0 || p.Database() == nil {
			t.Errorf("%s: named %q, %d sources", name, p.Name, len(p.Sources))
		}
	}
}
