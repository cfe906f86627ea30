package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"

	"yunchu/platform/device"
)

// Span is a stretch of time of one device, ms UTC, From ≤ t < To.
type Span struct {
	Device device.ID `json:"device"`
	From   int64     `json:"from"`
	To     int64     `json:"to"`
}

// Sum is what a history holds of a span: how many readings, and a digest of their times and
// values. When they arrived and how they were judged are each end's own.
type Sum struct {
	Rows int64  `json:"rows"`
	Sum  string `json:"sum"`
}

// summer makes a Sum of readings in ascending order.
type summer struct {
	rows int64
	hash hash.Hash
	buf  []byte
}

func newSummer() *summer { return &summer{hash: sha256.New()} }

func (s *summer) add(r *device.Reading) {
	s.rows++
	b := binary.LittleEndian.AppendUint64(s.buf[:0], uint64(r.At))
	for _, v := range [...]float64{r.SoC, r.SoH, r.Voltage, r.Current, r.Power, r.Temperature, r.MaxCharge, r.MaxDischarge} {
		switch {
		case math.IsNaN(v): // whichever
			v = math.NaN()
		case v == 0: // without a sign
			v = 0
		}
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	b = append(b, byte(r.Status))
	b = append(b, r.Word...)
	s.buf = append(b, 0)
	s.hash.Write(s.buf)
}

func (s *summer) sum() Sum {
	return Sum{s.rows, hex.EncodeToString(s.hash.Sum(nil)[:16])}
}
