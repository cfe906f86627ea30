package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/report"
)

// synthetic is an hour of a made-up fleet of 100 units of 100 kW that follows a
// regulation signal, with two faults, some refusals and one score that fails.
func synthetic(t testing.TB) *report.Run {
	t.Helper()
	const n, devices, rated = 3600, 100, 10_000.0
	rng := rand.New(rand.NewPCG(42, 1))
	c := metric.New(metric.Config{RatedKW: rated, Devices: devices, DurationS: n})
	soc, temp, kw, scale := make([]float64, devices), make([]float64, devices), make([]float64, devices), make([]float64, devices)
	stored := 0.0
	for i := range soc {
		soc[i] = min(max(50+10*rng.NormFloat64(), 10), 90)
		temp[i] = 24 + rng.NormFloat64()
		scale[i] = 1 + 0.02*rng.NormFloat64()
		stored += soc[i] / 100 * 215
	}
	run := &report.Run{RatedKW: rated, Band: report.SoCBand{Min: 10, Max: 90}, Tags: []string{"none"}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var band metric.Bander
	s := &run.Signals
	s.PriceUnit = "EUR/MWh"
	target, power, hot := 0.0, 0.0, 0.0
	c.Step(metric.Sample{TargetKW: target, AskedKW: target, StoredKWh: stored, ImportKW: math.NaN(), SoC: soc, TempC: temp, UnitKW: kw})
	for i := 1; i <= n; i++ {
		if i%2 == 0 {
			x := float64(i)
			target = -rated * max(-0.95, min(0.95, 0.5*math.Sin(x/190)+0.32*math.Sin(x/61+1)+0.15*math.Sin(x/17)+0.05*rng.NormFloat64()))
		}
		down := 0
		if i >= 1200 && i < 1500 {
			down = 40
		}
		online := devices - down
		can := 100 * float64(online)
		power += 0.7 * (max(-can, min(can, target)) - power)
		sum := 0.0
		for k := range kw {
			kw[k] = 0
			if k >= down {
				kw[k] = power / float64(online)
			}
			sum += kw[k]
			e := kw[k] / 3600
			if e > 0 {
				e *= 0.96
			} else {
				e /= 0.96
			}
			stored += e
			soc[k] = min(max(soc[k]+100*e*scale[k]/215*2.5, 0), 100)
			hot = 0
			if k >= 95 && i > 2400 {
				hot = 0.0045 * min(float64(i-2400), 500) / 100
			}
			temp[k] += math.Abs(kw[k])*0.00004 - (temp[k]-23)*0.0006 + hot
		}
		c.Step(metric.Sample{T: float64(i), DT: 1, TargetKW: target, AskedKW: target, PowerKW: sum, StoredKWh: stored, ImportKW: 3000 + sum, SoC: soc, TempC: temp, UnitKW: kw})
		c.Available(int64(online), devices)
		if i == 1500 {
			c.FaultEnded(1500, "link-down ess-00*")
		}
		if i == 2700 {
			c.FaultEnded(2700, "fan-fail ess-09*")
		}
		s.T = append(s.T, float64(i))
		s.Target = append(s.Target, target)
		s.Power = append(s.Power, sum)
		s.AvailCharge = append(s.AvailCharge, can)
		s.AvailDischarge = append(s.AvailDischarge, can*min(1, float64(i)/600+0.8))
		s.AddSoC(band.Of(soc))
		s.AddTemp(band.Of(temp))
		s.Online = append(s.Online, float64(online))
		load := 3000 + 400*math.Sin(float64(i)/900)
		s.SiteLoad = append(s.SiteLoad, load)
		s.SiteImport = append(s.SiteImport, load+sum)
		s.Price = append(s.Price, 40+10*math.Floor(float64(i)/900))
		for range 20 {
			c.CommandLatency(8 * math.Exp(0.35*rng.NormFloat64()))
			if rng.Float64() < 0.012 {
				c.CommandLatency(90 + 60*rng.ExpFloat64())
			}
		}
		c.SyncDelay(25*math.Exp(0.5*rng.NormFloat64()), false)
		c.ControlJitter(0.4 * rng.NormFloat64())
	}
	c.Guard(180_000, 0)
	c.Data(360_000, 0)
	c.Speed(n, 1.9)

	r := &run.Report
	r.Scenario, r.Description = "regulation-hour", "A 10 MW fleet follows a regulation signal for an hour, loses 40 units for five minutes and a fan for ten."
	r.Seed, r.Clock, r.Kernel = 42, "virtual", "avx512"
	r.Binary = "9b5c1de09fbb4f0f1c7e4c0a3df9f2e61f6a7fcb1b9e3f7a2d8c5b4a39281706"
	r.JournalSHA256 = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce"
	r.SimS, r.WallS, r.Speed, r.Devices = n, 1.9, n/1.9, devices
	r.Start, r.Duration, r.Machine, r.FileSystem = start, n, "linux/amd64, 2 × AMD EPYC, 4 GB", "ext4"
	for _, q := range [][4]string{
		{"tracking.rms_error_ratio", "", "<= 0.06", "REQ-TRK-1"},
		{"tracking.delivered_ratio", "", ">= 0.95", ""},
		{"command.latency_ms", "p99", "< 100", "REQ-LAT-1"},
		{"command.latency_ms", "p50", "< 20", ""},
		{"sync.delay_ms", "p99", "< 1000", "REQ-SYN-1"},
		{"fleet.soc", "min", ">= 5", "REQ-SOC-1"},
		{"fleet.soc", "p50", "", ""},
		{"fleet.temperature_c", "max", "<= 45", "REQ-TMP-1"},
		{"fleet.efficiency_percent", "", ">= 88", ""},
		{"regulation.pjm_score", "", ">= 0.75", "REQ-MKT-1"},
		{"regulation.k", "", ">= 1", ""},
		{"availability_percent", "", ">= 95", ""},
		{"recovery.time_s", "max", "<= 30", ""},
		{"guard.violations", "", "== 0", "REQ-SAF-1"},
		{"data.lost", "", "== 0", "REQ-DAT-1"},
		{"speed", "", ">= 100", ""},
	} {
		r.Scores = append(r.Scores, report.Judge(c, q[0], q[1], q[2], q[3]))
	}
	r.Checks = []report.Check{
		{Name: "energy-balance", Pass: true, Detail: "largest residual 0.0004 % of the energy moved"},
		{Name: "limits-kept", Pass: true, Detail: "state of charge, temperature and power of every unit inside its limits"},
		{Name: "no-reading-lost", Pass: true, Detail: "360,000 acknowledged, 360,000 in the history"},
		{Name: "no-command-after-expiry", Pass: true, Detail: "180,000 commands, none applied late"},
	}
	r.Verdict = report.Decide(report.Outcome{}, r.Scores, r.Checks)
	three := 3.0
	r.Faults = []report.Window{
		{From: 1200, To: 1500, Label: "link-down", Devices: "ess-00*", RecoveryS: &three},
		{From: 2400, To: 2700, Label: "fan-fail", Devices: "ess-09[5-9]"},
		{From: 3300, To: math.NaN(), Label: "</script><b>bias soc +5", Devices: "ess-042"},
	}
	add := func(at float64, sev, kind, device, text string) {
		run.EventLog = append(run.EventLog, report.Event{T: at, Severity: sev, Kind: kind, Device: device, Text: text})
	}
	add(1200, "warning", "fault", "ess-00*", "link-down begins, for 5 min")
	for i := range 40 {
		add(1201+float64(i)/10, "warning", "offline", fmt.Sprintf("ess-%03d", i+1), "no good reading for 3 periods: OFFLINE")
	}
	for i := range 300 {
		add(1206+float64(i)/2, "info", "refused", fmt.Sprintf("ess-%03d", i%40+1), fmt.Sprintf("setPower %.1f kW refused: OFFLINE, last good reading %d s ago", -60-float64(i%9), 6+i/2))
	}
	add(1500, "info", "fault", "ess-00*", "link-down ends")
	add(2702, "critical", "alarm", "ess-097", "hottest cell 47.3 °C above 45 °C; derated to 50 %")
	add(3301, "warning", "reading", "ess-042", `soc "75 & <80>" flagged range; </script><script>alert(1)</script>`)
	r.Events = map[string]int{"fault": 2, "offline": 40, "refused": 300, "alarm": 1, "reading": 1}
	for _, name := range []string{"command.latency_ms", "sync.delay_ms", "control.jitter_ms"} {
		run.Latency = append(run.Latency, report.HistogramOf(name, "ms", c.Dist(name)))
	}
	journal := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(journal, []byte("{\"t\":0}\n{\"t\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run.Journal = journal
	run.Inputs = []report.File{report.HashBytes("regulation-hour.yaml", []byte("kind: Scenario\n"))}
	run.Devices = func(yield func(report.DeviceRow) bool) {
		for i := range 2500 {
			if !yield(report.DeviceRow{T: float64(i / 10), Device: fmt.Sprintf("ess-%03d", i%10), SoC: 50, Status: "idle"}) {
				return
			}
		}
	}
	return run
}
