package api

import (
	"context"
	"sort"
	"sync"
	"time"

	"yunchu/platform/sample"
)

const (
	recordEvery = 5 * time.Second
	recordFor   = 24 * time.Hour
)

// fleetRecord is the state of the fleet in the past day, every five seconds: what it
// was told to do is in no reading. It lives in memory (1.7 MB) and begins with the
// server.
type fleetRecord struct {
	mu   sync.RWMutex
	rows []fleetRow // a ring once it is full; next is then the oldest
	next int
}

type fleetRow struct {
	at     int64 // ms UTC, plant time
	values fleetValues
}

// fleetValues are the values of sample.Fleet, in its order.
type fleetValues [len(sample.Fleet)]float64

func valuesOf(s *FleetState) fleetValues {
	return fleetValues{
		s.PowerKW, s.TargetKW, s.ShortfallKW, s.AvailableChargeKW, s.AvailableDischargeKW, s.SoCMean, s.TemperatureMaxC,
		float64(s.Online), float64(s.Devices), s.CommandsPerS, float64(s.Interventions),
	}
}

// put records a state. Plant time that has not moved on, or was set back, is passed
// over: rows ascend.
func (f *fleetRecord) put(s *FleetState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := fleetRow{s.Time, valuesOf(s)}
	const most = int(recordFor / recordEvery)
	switch n := len(f.rows); {
	case n > 0 && f.at(n-1).at >= row.at:
	case n < most:
		f.rows = append(f.rows, row)
	default:
		f.rows[f.next] = row
		f.next = (f.next + 1) % most
	}
}

// at is row i, 0 the oldest.
func (f *fleetRecord) at(i int) *fleetRow { return &f.rows[(f.next+i)%len(f.rows)] }

// read copies the rows with from ≤ at ≤ to.
func (f *fleetRecord) read(from, to int64) []fleetRow {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []fleetRow
	for i := sort.Search(len(f.rows), func(i int) bool { return f.at(i).at >= from }); i < len(f.rows) && f.at(i).at <= to; i++ {
		out = append(out, *f.at(i))
	}
	return out
}

// record follows the fleet until ctx ends.
func (s *Server) record(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		if s.isReady() {
			state := s.plant.Live.Fleet()
			s.fleet.put(&state)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fleetNow is a metric's value for /metrics.
func (s *Server) fleetNow(i int) float64 {
	state := s.plant.Live.Fleet()
	return valuesOf(&state)[i]
}
