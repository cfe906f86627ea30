//go:build !nosim

package simworld

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"yunchu/harness/plot"
	"yunchu/twin/estimate"
	"yunchu/twin/params"
)

// TrackOptions say what to track, what the filter is told wrong, and what is true.
type TrackOptions struct {
	Cell string // cell file or the name of a set
	Data string // CSV of readings

	SoC     float64      // per cent, what the filter is told at the start
	AddA    float64      // A, added to every current reading
	Gain    float64      // on every current reading
	TempC   *float64     // degC; nil: from the file
	TrueSoC float64      // per cent at the start
	Ah      float64      // capacity of the true state of charge; 0: that of the cell set
	Eta     float64      // its coulombic efficiency; 0: likewise
	Rows    io.Writer    // gets a CSV of all rows; may be nil
	Figure  *plot.Figure // gets a plot; may be nil

	Stop func() error // asked at every reading; its error ends the run; may be nil
}

// TrackResult is how well a filter tracked a record. Per cents are of state of charge.
// Figures over no rows are NaN, in JSON null: what scored nothing is no perfect score.
type TrackResult struct {
	Cell     string  `json:"cell"`
	Data     string  `json:"data"`
	TempC    float64 `json:"temp_c"`
	TempFrom string  `json:"temp_from"`

	RMSE  float64 `json:"rmse_percent"` // true state of charge of 10..90 %, after the first hour
	Max   float64 `json:"max_percent"`  // likewise
	Rows  int     `json:"rows"`         // that count in these
	Whole Spread  `json:"whole_record"`

	VoltageRMSE float64 `json:"voltage_rmse_mv"`   // of what the filter expects next, over the same rows
	NIS         float64 `json:"nis_mean"`          // mean normalised innovation squared, over the same rows
	Sigma       float64 `json:"soc_sigma_percent"` // mean of what the filter takes its error for, over the same rows
	MaxSigmas   float64 `json:"max_sigmas"`        // largest error in sigmas of its own time, over the same rows
	Gated       int     `json:"gated_rows"`        // of the whole record

	Truth Truth `json:"truth"`
	End   End   `json:"end"`
}

// MarshalJSON implements json.Marshaler.
func (t TrackResult) MarshalJSON() ([]byte, error) {
	type plain TrackResult
	if t.Rows > 0 {
		return json.Marshal(plain(t))
	}
	t.RMSE, t.Max, t.VoltageRMSE, t.NIS, t.Sigma, t.MaxSigmas = 0, 0, 0, 0, 0, 0
	type none = *float64
	return json.Marshal(struct {
		plain
		RMSE        none `json:"rmse_percent"`
		Max         none `json:"max_percent"`
		VoltageRMSE none `json:"voltage_rmse_mv"`
		NIS         none `json:"nis_mean"`
		Sigma       none `json:"soc_sigma_percent"`
		MaxSigmas   none `json:"max_sigmas"`
	}{plain: plain(t)})
}

// Spread is an error over all rows.
type Spread struct {
	RMSE float64 `json:"rmse_percent"`
	Max  float64 `json:"max_percent"`
	Rows int     `json:"rows"`
}

// Truth is how the true state of charge was counted.
type Truth struct {
	Method     string  `json:"method"`
	StartSoC   float64 `json:"start_percent"`
	EndSoC     float64 `json:"end_percent"`
	CapacityAh float64 `json:"capacity_ah"`
	Efficiency float64 `json:"coulombic_efficiency"`
}

// End is what the filter believes at the end of the record.
type End struct {
	SoC              float64 `json:"soc_percent"`
	CurrentOffsetA   float64 `json:"current_offset_a"`
	ResistanceFactor float64 `json:"resistance_factor"`
	CapacityFactor   float64 `json:"capacity_factor"`
	CurrentSigmaA    float64 `json:"current_offset_sigma_a"`
	ResistanceSigma  float64 `json:"resistance_factor_sigma"`
	CapacitySigma    float64 `json:"capacity_factor_sigma"`
}

// The range an estimate is scored in: where its state of charge counts, and after the
// hour it has to find it.
const (
	scoredFromSoC = 0.1
	scoredToSoC   = 0.9
	scoredAfterS  = 3600.0
)

// Track runs the filter over a record and compares it with counted charge.
func Track(o TrackOptions) (*TrackResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p, err := params.LoadCell(o.Cell)
	if err != nil {
		return nil, err
	}
	l, err := readLab(o.Data)
	if err != nil {
		return nil, err
	}
	if err := l.settle(o.TempC); err != nil {
		return nil, err
	}
	if err := l.plausible(p.VMin, p.VMax, p.CapacityAh, "the cell file"); err != nil {
		return nil, err
	}
	f, err := estimate.New(p, estimate.Options{SoC: o.SoC / 100})
	if err != nil {
		return nil, fmt.Errorf("--soc0 %g: %w", o.SoC, err)
	}
	out := &TrackResult{Cell: p.Name, Data: o.Data, TempC: l.tempKnown, TempFrom: l.tempFrom}
	truth, err := o.truth(p, l, &out.Truth)
	if err != nil {
		return nil, err
	}
	if err := l.within(truth, out.Truth.CapacityAh); err != nil {
		return nil, err
	}
	rows := newTrackWriter(o.Rows)
	var drawn trackPlot
	var scored, whole sums
	var last estimate.Result
	for k := range l.t {
		if o.Stop != nil {
			if err := o.Stop(); err != nil {
				return nil, err
			}
		}
		dt := 0.0
		if k > 0 {
			dt = l.t[k] - l.t[k-1]
		}
		tempC := l.tempKnown
		if o.TempC == nil && l.tempC != nil {
			tempC = l.tempC[k]
		}
		last = f.Step(dt, l.i[k]*o.Gain+o.AddA, l.v[k], tempC+kelvin)
		if last.Gated {
			out.Gated++
		}
		whole.add(&last, truth[k])
		if truth[k] >= scoredFromSoC && truth[k] <= scoredToSoC && l.t[k]-l.t[0] >= scoredAfterS {
			scored.add(&last, truth[k])
		}
		rows.row(l.t[k], truth[k], &last)
		if o.Figure != nil {
			drawn.add(l.t[k], truth[k], &last)
		}
	}
	out.finish(&scored, &whole, &last)
	if o.Figure != nil {
		*o.Figure = drawn.figure(out)
	}
	return out, rows.flush()
}

func (o *TrackOptions) check() error {
	var errs []error
	for _, f := range []struct {
		flag string
		x    float64
	}{{"--add-current-a", o.AddA}, {"--gain", o.Gain}} {
		if math.IsNaN(f.x) || math.IsInf(f.x, 0) {
			errs = append(errs, fmt.Errorf("%s %g: want a number", f.flag, f.x))
		}
	}
	return errors.Join(errs...)
}

// truth counts the state of charge: with the counters of the laboratory if the file
// has them, else with the readings before anything is added to them.
func (o *TrackOptions) truth(p *params.Cell, l *lab, t *Truth) ([]float64, error) {
	t.CapacityAh, t.Efficiency, t.StartSoC = p.CapacityAh, p.CoulombicEfficiency, o.TrueSoC
	if o.Ah != 0 {
		t.CapacityAh = o.Ah
	}
	if o.Eta != 0 {
		t.Efficiency = o.Eta
	}
	if !(t.CapacityAh > 0) || !(t.Efficiency > 0 && t.Efficiency <= 1) || !(t.StartSoC >= 0 && t.StartSoC <= 100) {
		return nil, errors.New("the true state of charge needs a capacity above 0, an efficiency of 0..1 and a start of 0..100 %")
	}
	t.Method = "current integrated from reading to reading"
	if l.in != nil {
		t.Method = "ampere-hour counters of the record"
	}
	z := make([]float64, len(l.t))
	var in, out float64 // Ah
	for k := range z {
		switch {
		case l.in != nil:
			in, out = l.in[k]-l.in[0], l.out[k]-l.out[0]
		case k > 0:
			ah := (l.i[k] + l.i[k-1]) / 2 * (l.t[k] - l.t[k-1]) / 3600
			in += max(ah, 0)
			out -= min(ah, 0)
		}
		z[k] = t.StartSoC/100 + (t.Efficiency*in-out)/t.CapacityAh
	}
	t.EndSoC = 100 * z[len(z)-1]
	return z, nil
}

// sums gathers errors.
type sums struct {
	n                        int
	square, most, sigmas     float64 // of the state of charge
	voltage, nis, confidence float64
}

func (s *sums) add(r *estimate.Result, truth float64) {
	e := r.SoC - truth
	s.n++
	s.square += e * e
	s.most = max(s.most, math.Abs(e))
	s.sigmas = max(s.sigmas, math.Abs(e)/r.SoCSigma)
	s.voltage += r.InnovationV * r.InnovationV
	s.nis += r.NIS
	s.confidence += r.SoCSigma
}

func (t *TrackResult) finish(scored, whole *sums, last *estimate.Result) {
	n := float64(scored.n)
	t.Rows, t.RMSE, t.Max, t.MaxSigmas = scored.n, 100*math.Sqrt(scored.square/n), 100*scored.most, scored.sigmas
	if scored.n == 0 {
		t.Max, t.MaxSigmas = math.NaN(), math.NaN() // as the other figures are
	}
	t.VoltageRMSE, t.NIS, t.Sigma = 1e3*math.Sqrt(scored.voltage/n), scored.nis/n, 100*scored.confidence/n
	t.Whole = Spread{RMSE: 100 * math.Sqrt(whole.square/float64(whole.n)), Max: 100 * whole.most, Rows: whole.n}
	t.End = End{
		SoC: 100 * last.SoC, CurrentOffsetA: last.CurrentOffsetA, ResistanceFactor: last.ResistanceFactor, CapacityFactor: last.CapacityFactor,
		CurrentSigmaA: last.CurrentOffsetSigmaA, ResistanceSigma: last.ResistanceFactorSigma, CapacitySigma: last.CapacityFactorSigma,
	}
}

// trackWriter writes the rows of a track as CSV.
type trackWriter struct{ w *bufio.Writer }

func newTrackWriter(w io.Writer) trackWriter {
	if w == nil {
		w = io.Discard
	}
	out := trackWriter{bufio.NewWriter(w)}
	fmt.Fprintln(out.w, "t_s,true_percent,soc_percent,soc_sigma_percent,voltage_v,innovation_v,nis,current_offset_a,resistance_factor,capacity_factor")
	return out
}

func (t trackWriter) row(at, truth float64, r *estimate.Result) {
	fmt.Fprintf(t.w, "%g,%.4f,%.4f,%.4f,%.5f,%.5f,%.4f,%.5f,%.4f,%.4f\n", at, 100*truth, 100*r.SoC, 100*r.SoCSigma,
		r.VoltageV, r.InnovationV, r.NIS, r.CurrentOffsetA, r.ResistanceFactor, r.CapacityFactor)
}

func (t trackWriter) flush() error { return t.w.Flush() }

// trackPlot is what the plot of a track shows, in per cent, mV and mA.
type trackPlot struct{ t, truth, soc, low, high, miss, missLow, missHigh, innovation, offset []float64 }

func (p *trackPlot) add(t, truth float64, r *estimate.Result) {
	p.t, p.truth, p.soc = append(p.t, t), append(p.truth, 100*truth), append(p.soc, 100*r.SoC)
	p.low, p.high = append(p.low, 100*(r.SoC-2*r.SoCSigma)), append(p.high, 100*(r.SoC+2*r.SoCSigma))
	p.miss = append(p.miss, 100*(r.SoC-truth))
	p.missLow, p.missHigh = append(p.missLow, -200*r.SoCSigma), append(p.missHigh, 200*r.SoCSigma)
	p.innovation, p.offset = append(p.innovation, 1e3*r.InnovationV), append(p.offset, 1e3*r.CurrentOffsetA)
}

func (p *trackPlot) figure(r *TrackResult) plot.Figure {
	x, label := plot.Seconds(p.t)
	score := "not scored"
	if r.Rows > 0 {
		score = fmt.Sprintf("RMSE %.2f %%, at most %.2f %%", r.RMSE, r.Max)
	}
	return plot.Figure{
		Title: fmt.Sprintf("%s at %g °C: %s", filepath.Base(r.Data), r.TempC, score), X: label,
		Panels: []plot.Panel{
			{Y: "state of charge, %", Curves: []plot.Curve{
				{Name: "±2σ", X: x, Y: p.high, Low: p.low, Color: plot.Cycle(1)},
				{Name: "estimated", X: x, Y: p.soc, Color: plot.Blue},
				{Name: "counted", X: x, Y: p.truth, Color: plot.Black, Style: plot.Dashed},
			}},
			{Y: "error, %", Curves: []plot.Curve{{Name: "±2σ", X: x, Y: p.missHigh, Low: p.missLow, Color: plot.Cycle(1)}, {X: x, Y: p.miss}}},
			{Y: "innovation, mV", Curves: []plot.Curve{{X: x, Y: p.innovation}}},
			{Y: "current offset, mA", Curves: []plot.Curve{{X: x, Y: p.offset}}},
		},
	}
}
