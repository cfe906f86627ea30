package trading

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/device"
	"yunchu/platform/market/order"
	"yunchu/platform/market/risk"
	"yunchu/platform/plural"
	"yunchu/platform/settle"
)

// PositionOptions say what a position is made of.
type PositionOptions struct {
	Awards   []string // of the day ahead
	Intraday []string
	Readings string // of a meter, or of devices as yunchu export writes them
}

// Held is a position over the gates. Above 0 is bought, or went into the devices.
type Held struct {
	From      time.Time   `json:"from"`
	To        time.Time   `json:"to"`
	DayAhead  json.Number `json:"day_ahead_mwh"`
	Intraday  json.Number `json:"intraday_mwh"`
	Delivered json.Number `json:"delivered_mwh,omitempty"`
	Open      json.Number `json:"open_mwh,omitempty"` // what was traded less what was delivered
	Missing   int         `json:"missing,omitempty"`  // deliveries of which a part was not read
	Lines     []HeldLine  `json:"lines"`
}

// HeldLine is a product in one delivery.
type HeldLine struct {
	Time      time.Time     `json:"time"`
	Minutes   int           `json:"minutes"`
	Product   order.Product `json:"product"`
	DayAhead  json.Number   `json:"day_ahead_mw"`
	Intraday  json.Number   `json:"intraday_mw"`
	Net       json.Number   `json:"net_mw"`
	Delivered json.Number   `json:"delivered_mw,omitempty"` // to a kW; empty where it is not known
	Open      json.Number   `json:"open_mw,omitempty"`
}

// Position adds up what was traded at the gates, and what was delivered of it.
func Position(o PositionOptions) (*Held, error) {
	var p risk.Position
	length := map[order.Product]time.Duration{}
	read := awardFiles{}
	for g, files := range [][]string{risk.DayAhead: o.Awards, risk.Intraday: o.Intraday} {
		awards, err := read.read(files)
		if err != nil {
			return nil, err
		}
		for _, a := range awards {
			if l := length[a.Product]; l != 0 && l != a.Length {
				return nil, fmt.Errorf("%s is awarded for %v and for %v: positions are by delivery", a.Product, l, a.Length)
			}
			length[a.Product] = a.Length
			p.Add(risk.Gate(g), a.At, a.Product, a.Side, a.KW)
		}
	}
	lines := p.Lines()
	out := &Held{From: lines[0].At, Lines: []HeldLine{}}
	for _, l := range lines {
		if end := l.At.Add(length[l.Product]); end.After(out.To) {
			out.To = end
		}
	}
	var power *delivered
	if o.Readings != "" {
		var err error
		if power, err = readDelivered(o.Readings, out.From, out.To, length[order.Energy]); err != nil {
			return nil, err
		}
		for i, l := range lines {
			if kw, ok := power.at(l.At); ok && l.Product == order.Energy {
				lines[i].By[risk.Delivered] = order.KW(math.Round(kw))
			}
		}
	}
	var sums [4]float64
	for _, l := range lines {
		h := HeldLine{
			Time: l.At, Minutes: int(length[l.Product] / time.Minute), Product: l.Product, DayAhead: json.Number(l.By[risk.DayAhead].String()),
			Intraday: json.Number(l.By[risk.Intraday].String()), Net: json.Number(l.Net().String()),
		}
		if l.Product == order.Energy {
			hours := length[l.Product].Hours()
			sums[0] += l.By[risk.DayAhead].MW() * hours
			sums[1] += l.By[risk.Intraday].MW() * hours
			if kw, ok := power.at(l.At); ok {
				h.Delivered, h.Open = json.Number(l.By[risk.Delivered].String()), json.Number(l.Open().String())
				sums[2] += kw / 1000 * hours
				sums[3] += (float64(l.Net()) - kw) / 1000 * hours
			} else if power != nil {
				out.Missing++
			}
		}
		out.Lines = append(out.Lines, h)
	}
	out.DayAhead, out.Intraday = number(sums[0]), number(sums[1])
	if power != nil {
		out.Delivered, out.Open = number(sums[2]), number(sums[3])
	}
	return out, nil
}

// delivered is the mean power of deliveries, kW.
type delivered struct {
	from time.Time
	step time.Duration
	kwh  []float64 // NaN: a part was not read
}

// at is what was delivered from an instant on; not ok where it is not known.
func (d *delivered) at(t time.Time) (kw float64, ok bool) {
	if d == nil {
		return 0, false
	}
	k := int(t.Sub(d.from) / d.step)
	if k < 0 || k >= len(d.kwh) || math.IsNaN(d.kwh[k]) {
		return 0, false
	}
	return d.kwh[k] / d.step.Hours(), true
}

// wholePercent of a delivery must be read: a first reading may come a moment after its begin.
const wholePercent = 99

// readDelivered integrates good readings, simulated ones included: it is no bill. Rows of a meter
// hold for as long as they are apart; readings of devices are integrated as a bill does it.
func readDelivered(path string, from, to time.Time, step time.Duration) (*delivered, error) {
	if step <= 0 {
		return nil, fmt.Errorf("there are no awards of energy to compare %s with", path)
	}
	s, err := sheet.Read(path, func(c string) bool { return c == "power_kw" }, timeColumn, "device", "quality", "gap_until")
	if err != nil {
		return nil, err
	}
	k := slices.Index(s.Header, "power_kw")
	words := s.Texts(timeColumn)
	if k < 0 || words == nil {
		return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "readings have time and power_kw")
	}
	of := map[string][]settle.Sample{}
	var devices []string
	gap := time.Minute
	for i, word := range words {
		at, ok := sheet.Instant(word)
		if !ok {
			return nil, s.At(i, []string{timeColumn}, "write it as 2020-01-31T13:00:00Z", "%q is no instant", word)
		}
		x := settle.Sample{At: at.UnixMilli(), KW: s.Column[k][i], Row: s.Line[i]}
		if q := s.Texts("quality"); q != nil && q[i] != "" && q[i] != device.Good.String() {
			x.Quality = device.Bad
		}
		if gaps := s.Texts("gap_until"); gaps != nil && gaps[i] != "" {
			x.Gap = true
		}
		id := ""
		if d := s.Texts("device"); d != nil {
			id = d[i]
		}
		if of[id] == nil {
			devices = append(devices, id)
		} else if last := of[id][len(of[id])-1]; x.At < last.At {
			return nil, s.At(i, []string{timeColumn}, "sort the rows by device and then time", "the reading comes before the one above")
		}
		of[id] = append(of[id], x)
	}
	out := &delivered{from: from, step: step, kwh: make([]float64, int(to.Sub(from)/step))}
	for _, id := range devices {
		samples := of[id]
		if s.Texts("device") == nil { // a meter: each row holds until the next
			samples, gap = held(samples), to.Sub(from)
		}
		kwh, _, _, err := settle.Meter(samples, from, to, step, gap, wholePercent)
		if err != nil {
			return nil, err
		}
		for i := range kwh {
			out.kwh[i] += kwh[i]
		}
	}
	return out, nil
}

// held are the two ends of each row of a meter, as long as the first rows are apart.
func held(samples []settle.Sample) (out []settle.Sample) {
	if len(samples) < 2 {
		return samples
	}
	width := samples[1].At - samples[0].At
	for _, s := range samples {
		end := s
		end.At += width
		out = append(out, s, end, settle.Sample{Gap: true})
	}
	return out
}

// WriteCSV writes the position by delivery.
func (h *Held) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{timeColumn, minutesColumn, productColumn, "day_ahead_mw", "intraday_mw", "net_mw", "delivered_mw", "open_mw"}) // told by Error
	for _, l := range h.Lines {
		_ = c.Write([]string{l.Time.UTC().Format(time.RFC3339), fmt.Sprint(l.Minutes), string(l.Product), l.DayAhead.String(), l.Intraday.String(), l.Net.String(), l.Delivered.String(), l.Open.String()})
	}
	c.Flush()
	return c.Error()
}

// Print prints for people.
func (h *Held) Print(w io.Writer) {
	fmt.Fprintf(w, "%s to %s, bought less sold: %s MWh the day ahead, %s MWh since\n", h.From.Format(time.RFC3339), h.To.Format(time.RFC3339), h.DayAhead, h.Intraday)
	if h.Delivered != "" {
		fmt.Fprintf(w, "delivered %s MWh, open %s MWh\n", h.Delivered, h.Open)
	}
	if h.Missing > 0 {
		fmt.Fprintf(w, "%s not read\n", plural.Count(h.Missing, "delivery was", "deliveries were"))
	}
}
