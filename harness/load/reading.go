package load

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// readings makes what the devices of one user report: batteries of 380 V that
// charge with a slowly varying current.
type readings struct {
	devices []source
	batch   int
	turn    int
	form    *Form
	phase   float64
	rng     *rand.Rand
	flight  []sent // what is on its way
	acked   [][]int64
}

type source struct {
	id   string
	n    int
	last int64 // timestamp of its newest reading, ms
}

type sent struct {
	device int
	at     int64
}

func newReadings(s *Spec, user int, rng *rand.Rand) *readings {
	r := &readings{batch: max(s.Batch, 1), form: s.Form, phase: float64(user), rng: rng}
	if r.form == nil {
		r.form = &ours
		if r.batch == 1 {
			r.form = &single
		}
	}
	for i := user; i < len(s.Senders); i += s.Users {
		r.devices = append(r.devices, source{id: s.Senders[i]})
	}
	r.acked = make([][]int64, len(r.devices))
	return r
}

// append writes the next batch: one reading, or an array of them. Of one device
// the timestamps differ and ascend.
func (r *readings) append(b []byte, now time.Time) []byte {
	r.flight = r.flight[:0]
	b = append(b, r.form.Open...)
	ms := now.UnixMilli()
	for i := range r.batch {
		if i > 0 {
			b = append(b, r.form.Between...)
		}
		b = r.one(b, ms)
	}
	return append(b, r.form.Close...)
}

func (r *readings) one(b []byte, ms int64) []byte {
	i := r.turn
	r.turn = (r.turn + 1) % len(r.devices)
	d := &r.devices[i]
	d.last = max(ms, d.last+1)
	d.n++
	r.flight = append(r.flight, sent{i, d.last})
	volts := 380 + 4*r.rng.Float64()
	amps := 100 + 20*math.Sin(float64(d.n)/40+r.phase)
	return r.form.Append(b, &Sample{
		Device: d.id, At: d.last, SoC: 20 + math.Mod(float64(d.n)*0.01, 60),
		Volts: volts, Amps: amps, KW: volts * amps / 1000, Celsius: 25 + 3*r.rng.Float64(),
	})
}

// Sample is a reading that is about to be sent.
type Sample struct {
	Device                   string
	At                       int64   // ms since 1970
	SoC                      float64 // percent
	Volts, Amps, KW, Celsius float64
}

// Form is how readings are written into a request.
type Form struct {
	Open, Between, Close string
	Append               func(b []byte, s *Sample) []byte
}

var (
	single = Form{Append: appendSample}
	ours   = Form{Open: "[", Between: ",", Close: "]", Append: appendSample}
)

func appendSample(b []byte, s *Sample) []byte {
	b = append(b, `{"deviceId":"`...)
	b = append(b, s.Device...)
	b = append(b, `","timestamp":`...)
	b = strconv.AppendInt(b, s.At, 10)
	b = append(b, `,"data":{"soc":`...)
	b = AppendFixed(b, s.SoC, 2)
	b = append(b, `,"voltage":`...)
	b = AppendFixed(b, s.Volts, 1)
	b = append(b, `,"current":`...)
	b = AppendFixed(b, s.Amps, 1)
	b = append(b, `,"power":`...)
	b = AppendFixed(b, s.KW, 2)
	b = append(b, `,"temperature":`...)
	b = AppendFixed(b, s.Celsius, 1)
	return append(b, `,"status":"charging"}}`...)
}

// AppendFixed writes a value that is not negative with so many digits behind the
// point, several times as fast as package strconv.
func AppendFixed(b []byte, v float64, digits int) []byte {
	scale := int64(math.Pow10(digits))
	n := int64(v*float64(scale) + 0.5)
	b = append(strconv.AppendInt(b, n/scale, 10), '.')
	for rest := scale / 10; rest > 0; rest /= 10 {
		b = append(b, byte('0'+n/rest%10))
	}
	return b
}

// taken notes that what was on its way has been acknowledged.
func (r *readings) taken() int {
	for _, f := range r.flight {
		r.acked[f.device] = append(r.acked[f.device], f.at)
	}
	return len(r.flight)
}

func (r *readings) acknowledged(into map[string][]int64) {
	for i := range r.devices {
		if len(r.acked[i]) > 0 {
			into[r.devices[i].id] = append(into[r.devices[i].id], r.acked[i]...)
		}
	}
}
