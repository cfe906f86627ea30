package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestAggregate asks for statistics of one device and of a fleet.
func TestAggregate(t *testing.T) {
	w := newWorld(t)
	const t0 = start - start%120_000 - 600_000
	var list []string
	for i := range 10 { // every 10 s: MINE charges with 60 kW, FOREIGN discharges with 30 kW
		list = append(list, at("MINE", t0+int64(i)*10_000, 60, 40+float64(i)), at("FOREIGN", t0+int64(i)*10_000, -30, 80))
	}
	w.do("POST", syncPath, "engineer", "["+strings.Join(list, ",")+"]").want(200, "SUCCESS")
	type stat struct{ Mean, Min, Max, Last, Sum *float64 }
	type answer struct {
		Items []struct {
			Timestamp                           int64
			Devices                             int
			Count, Bad                          int64
			EnergyInKwh, EnergyOutKwh, CoveredS float64
			Data                                map[string]stat
		}
		Next string
	}
	ask := func(path, role string) (a answer) {
		t.Helper()
		if err := json.Unmarshal(w.do("GET", path, role, "").want(200, "").Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	bounds := fmt.Sprintf("from=%d&to=%d", t0, t0+120_000)

	one := ask("/api/v1/devices/MINE/history?step=1m&stats=min,max,energy&fields=soc&"+bounds, "device")
	if len(one.Items) != 2 {
		t.Fatalf("%+v, want two minutes", one)
	}
	if m := one.Items[0]; m.Timestamp != t0 || m.Count != 6 || *m.Data["soc"].Min != 40 || *m.Data["soc"].Max != 45 || m.Data["soc"].Mean != nil || m.EnergyInKwh != 1 || m.CoveredS != 60 {
		t.Errorf("first minute %+v", m)
	}
	if m := one.Items[1]; m.Count != 4 || m.CoveredS != 30 || m.EnergyInKwh != 0.5 {
		t.Errorf("second minute %+v: the last reading is after 90 s", m)
	}

	fleet := ask("/api/v1/history/aggregate?step=2m&"+bounds, "viewer")
	if len(fleet.Items) != 1 {
		t.Fatalf("%+v, want one step", fleet)
	}
	if m := fleet.Items[0]; m.Devices != 2 || m.Count != 20 || *m.Data["power"].Sum != 30 || *m.Data["power"].Mean != 15 || *m.Data["power"].Max != 60 ||
		*m.Data["soc"].Last != 129 || m.EnergyInKwh != 1.5 || m.EnergyOutKwh != 0.75 || m.CoveredS != 180 {
		t.Errorf("fleet %+v", m)
	}
	if own := ask("/api/v1/history/aggregate?step=2m&"+bounds, "device"); own.Items[0].Devices != 1 || own.Items[0].EnergyOutKwh != 0 {
		t.Errorf("a device sees %+v of others", own)
	}
	if part := ask("/api/v1/history/aggregate?devices=F*&step=2m&"+bounds, "viewer"); part.Items[0].Devices != 1 || part.Items[0].EnergyInKwh != 0 {
		t.Errorf("the glob gives %+v", part)
	}
	first := ask("/api/v1/history/aggregate?step=1m&limit=1&"+bounds, "viewer")
	if second := ask("/api/v1/history/aggregate?step=1m&limit=1&cursor="+first.Next+"&"+bounds, "viewer"); first.Next == "" || second.Items[0].Timestamp != t0+60_000 || second.Next != "" {
		t.Errorf("pages %+v, %+v", first, second)
	}
	for _, bad := range []string{
		"/api/v1/history/aggregate?step=10ms", "/api/v1/history/aggregate?devices=[", "/api/v1/history/aggregate?fields=status",
		"/api/v1/history/aggregate?cursor=x", "/api/v1/devices/MINE/history?stats=mean", "/api/v1/devices/MINE/history?step=1m&stats=median",
	} {
		w.do("GET", bad, "viewer", "").want(400, "INVALID_REQUEST")
	}
}

// at is a reading of a device.
func at(id string, at int64, power, soc float64) string {
	status := "charging"
	if power < 0 {
		status = "discharging"
	}
	return fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":{"soc":%v,"voltage":400,"current":%v,"power":%v,"temperature":25,"status":%q}}`,
		id, at, soc, power*2.5, power, status)
}
