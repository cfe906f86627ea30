package report

import (
	"iter"
	"math"

	"yunchu/harness/metric"
)

// Run is all a report is made of. Only Report is required; whatever else is
// missing leaves its plot or file out.
type Run struct {
	Report
	RatedKW float64 // of the fleet; the tracking error is shown in percent of it
	Signals Signals
	Band    SoCBand // the window the state of charge is meant to stay in; zero: none

	EventLog []Event             // in order of time
	Latency  []Histogram         // command latency, sync delay, jitter, each load
	Devices  iter.Seq[DeviceRow] // rows of devices.parquet; nil: not asked for
	Journal  string              // path of the finished journal.jsonl; may already lie in the folder; "": none
	Kept     []Kept              // what else belongs to it: recordings, the audit
	Inputs   []File              // every file the run was made from, see [HashFile]
	Tags     []string            // build tags of the binary
}

// SoCBand is a window in percent.
type SoCBand struct{ Min, Max float64 }

// Signals are the recorded series as columns of equal length, ascending in T; a
// column may be nil, and NaN is a value nobody knew. Power is positive into the
// fleet; what was available is a magnitude in both directions.
type Signals struct {
	T                            []float64 // s since the start
	Target, Power                []float64 // kW
	AvailCharge, AvailDischarge  []float64 // kW, ≥ 0
	SoCMean, SoCMin, SoCMax      []float64 // percent
	SoCP5, SoCP25, SoCP50        []float64
	SoCP75, SoCP95               []float64
	TempMin, TempMean, TempMax   []float64 // degC, hottest cell of each device
	Online                       []float64 // devices
	SiteImport, SiteLoad, SitePV []float64 // kW
	Price                        []float64
	PriceUnit                    string // such as EUR/MWh
}

// columns are the series by name, for what treats all alike.
func (s *Signals) columns() map[string]*[]float64 {
	return map[string]*[]float64{
		"target": &s.Target, "power": &s.Power, "avail_charge": &s.AvailCharge, "avail_discharge": &s.AvailDischarge,
		"soc_mean": &s.SoCMean, "soc_min": &s.SoCMin, "soc_max": &s.SoCMax, "soc_p5": &s.SoCP5, "soc_p25": &s.SoCP25,
		"soc_p50": &s.SoCP50, "soc_p75": &s.SoCP75, "soc_p95": &s.SoCP95,
		"temp_min": &s.TempMin, "temp_mean": &s.TempMean, "temp_max": &s.TempMax, "online": &s.Online,
		"site_import": &s.SiteImport, "site_load": &s.SiteLoad, "site_pv": &s.SitePV, "price": &s.Price,
	}
}

// AddSoC appends one instant of the spread over the fleet.
func (s *Signals) AddSoC(b metric.Band) {
	s.SoCMean = append(s.SoCMean, b.Mean)
	s.SoCMin = append(s.SoCMin, b.Min)
	s.SoCP5 = append(s.SoCP5, b.P5)
	s.SoCP25 = append(s.SoCP25, b.P25)
	s.SoCP50 = append(s.SoCP50, b.P50)
	s.SoCP75 = append(s.SoCP75, b.P75)
	s.SoCP95 = append(s.SoCP95, b.P95)
	s.SoCMax = append(s.SoCMax, b.Max)
}

// AddTemp appends one instant of the temperatures over the fleet.
func (s *Signals) AddTemp(b metric.Band) {
	s.TempMin = append(s.TempMin, b.Min)
	s.TempMean = append(s.TempMean, b.Mean)
	s.TempMax = append(s.TempMax, b.Max)
}

// at is entry i of a column, NaN where there is none.
func at(col []float64, i int) float64 {
	if i < len(col) {
		return col[i]
	}
	return math.NaN()
}

// Histogram is one distribution of latencies for the plots.
type Histogram struct {
	Name  string       `json:"name"`
	Unit  string       `json:"unit"`
	N     int64        `json:"n"`
	Min   float64      `json:"min"`
	Mean  float64      `json:"mean"`
	Max   float64      `json:"max"`
	Bins  []metric.Bin `json:"bins"`
	Curve [][2]float64 `json:"curve"` // quantile 0..1 and its value
}

// HistogramOf takes what a plot needs of a distribution.
func HistogramOf(name, unit string, d *metric.Dist) Histogram {
	// As many bins as the sample supports (the rule of Rice), up to what a plot can show.
	bins := min(60, 4+int(2*math.Cbrt(float64(d.N()))))
	h := Histogram{Name: name, Unit: unit, N: d.N(), Bins: d.Bins(bins)}
	if h.N == 0 {
		return h
	}
	h.Min, h.Mean, h.Max = d.Quantile(0), d.Mean(), d.Quantile(1)
	h.Curve = append(h.Curve, [2]float64{0, h.Min})
	for _, q := range []float64{0.0005, 0.002, 0.01, 0.03, 0.06} {
		if q*float64(h.N) >= 1 {
			h.Curve = append(h.Curve, [2]float64{q, d.Quantile(q)})
		}
	}
	// Equal steps on the axis of nines, as far as n supports it.
	for x := 0.05; ; x += 0.05 {
		q := 1 - math.Pow(10, -x)
		if (1-q)*float64(h.N) < 1 {
			break
		}
		h.Curve = append(h.Curve, [2]float64{q, d.Quantile(q)})
	}
	h.Curve = append(h.Curve, [2]float64{1 - 1/float64(h.N), h.Max})
	return h
}

// DeviceRow is one device at one instant.
type DeviceRow struct {
	T       float64 `parquet:"t_s"`
	Device  string  `parquet:"device,dict,zstd"`
	PowerKW float64 `parquet:"power_kw,zstd"`
	SoC     float64 `parquet:"soc_percent,zstd"`
	TempC   float64 `parquet:"temperature_c,zstd"`
	Voltage float64 `parquet:"voltage_v,zstd"`
	Status  string  `parquet:"status,dict,zstd"`
	// Of twins: what kept it from its setpoint in the last step, empty where nothing did.
	Limit        string  `parquet:"limit,dict,zstd"`
	ReactiveKvar float64 `parquet:"reactive_kvar,zstd"` // above zero absorbed
}
