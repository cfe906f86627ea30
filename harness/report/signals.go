package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// signalRow is a row of signals.parquet; a value nobody knew is null.
type signalRow struct {
	T              float64   `parquet:"t_s"`
	Time           time.Time `parquet:"time,timestamp(millisecond)"`
	Target         *float64  `parquet:"target_kw,optional,zstd"`
	Power          *float64  `parquet:"power_kw,optional,zstd"`
	AvailCharge    *float64  `parquet:"available_charge_kw,optional,zstd"`
	AvailDischarge *float64  `parquet:"available_discharge_kw,optional,zstd"`
	SoCMean        *float64  `parquet:"soc_mean_percent,optional,zstd"`
	SoCMin         *float64  `parquet:"soc_min_percent,optional,zstd"`
	SoCMax         *float64  `parquet:"soc_max_percent,optional,zstd"`
	TempMax        *float64  `parquet:"temperature_max_c,optional,zstd"`
	Online         *float64  `parquet:"online,optional,zstd"`
}

const signalHeader = "t_s,time,target_kw,power_kw,available_charge_kw,available_discharge_kw,soc_mean_percent,soc_min_percent,soc_max_percent,temperature_max_c,online\n"

// recorded are the columns of signals.csv after t_s and time.
func (s *Signals) recorded() [9][]float64 {
	return [9][]float64{s.Target, s.Power, s.AvailCharge, s.AvailDischarge, s.SoCMean, s.SoCMin, s.SoCMax, s.TempMax, s.Online}
}

func (s *Signals) validate() error {
	var faults []error
	cols := s.columns()
	for _, name := range slices.Sorted(maps.Keys(cols)) {
		if n := len(*cols[name]); n != 0 && n != len(s.T) {
			faults = append(faults, fmt.Errorf("signal %s has %d values for %d instants", name, n, len(s.T)))
		}
	}
	for i := 1; i < len(s.T); i++ {
		if !(s.T[i] > s.T[i-1]) {
			faults = append(faults, fmt.Errorf("signals: instant %g s follows %g s", s.T[i], s.T[i-1]))
			break
		}
	}
	return errors.Join(faults...)
}

// instant is t seconds after the start, to the millisecond.
func (r *Report) instant(t float64) time.Time {
	return r.Start.Add(time.Duration(math.Round(t*1000)) * time.Millisecond).UTC()
}

func (run *Run) writeCSV(w io.Writer) error {
	if _, err := io.WriteString(w, signalHeader); err != nil {
		return err
	}
	cols := run.Signals.recorded()
	var line []byte
	for i, t := range run.Signals.T {
		line = strconv.AppendFloat(line[:0], t, 'f', -1, 64)
		line = append(line, ',')
		line = run.instant(t).AppendFormat(line, "2006-01-02T15:04:05.999Z07:00")
		for _, col := range cols {
			line = append(line, ',')
			if v := at(col, i); isFinite(v) {
				line = strconv.AppendFloat(line, v, 'f', -1, 64)
			}
		}
		line = append(line, '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (run *Run) writeSignals(w io.Writer) error {
	p := parquet.NewGenericWriter[signalRow](w)
	cols := run.Signals.recorded()
	var vals [9]float64
	for i, t := range run.Signals.T {
		row := signalRow{T: t, Time: run.instant(t)}
		for k, to := range []**float64{&row.Target, &row.Power, &row.AvailCharge, &row.AvailDischarge, &row.SoCMean, &row.SoCMin, &row.SoCMax, &row.TempMax, &row.Online} {
			if vals[k] = at(cols[k], i); isFinite(vals[k]) {
				*to = &vals[k]
			}
		}
		if _, err := p.Write([]signalRow{row}); err != nil {
			return err
		}
	}
	return p.Close()
}

func (run *Run) writeDevices(w io.Writer) error {
	p := parquet.NewGenericWriter[DeviceRow](w)
	batch := make([]DeviceRow, 0, 1024)
	flush := func() error {
		_, err := p.Write(batch)
		batch = batch[:0]
		return err
	}
	for row := range run.Devices {
		if batch = append(batch, row); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return p.Close()
}
