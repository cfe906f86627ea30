package api

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// fields selects the quantities of a reading that an answer shows.
type fields uint8

const (
	showSoC fields = 1 << iota
	showVoltage
	showCurrent
	showPower
	showTemperature
	showStatus
	showSoH
	showFrequency // of the latest reading: the history has none
	// showReported is everything, the state of health and the frequency where they are reported.
	showReported fields = 0
)

var showNames = []struct {
	name string
	bit  fields
}{
	{"soc", showSoC},
	{"voltage", showVoltage},
	{"current", showCurrent},
	{"power", showPower},
	{"temperature", showTemperature},
	{"status", showStatus},
	{"soh", showSoH},
}

// needed are the quantities that have to be read for it.
func (f fields) needed() (all series.Fields) {
	for _, n := range showNames {
		if f == showReported || f&n.bit != 0 {
			one, _ := series.ParseField(n.name)
			all |= one
		}
	}
	return all
}

// appendNumber writes v in the shortest form that reads back as v; what is not a
// number becomes null.
func appendNumber(b []byte, v float64) []byte {
	// Nearly all that devices report is a number of thousandths. With at most 15 digits that is
	// the shortest text of the double, and found twice as fast.
	if k := math.RoundToEven(v * 1000); k != 0 && math.Abs(k) < 1e15 && k/1000 == v {
		return appendThousandths(b, int64(k))
	}
	if !device.Finite(v) {
		return append(b, "null"...)
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(b, v, form, -1, 64)
}

// appendThousandths writes k / 1000.
func appendThousandths(b []byte, k int64) []byte {
	if k < 0 {
		b, k = append(b, '-'), -k
	}
	if whole := k / 1000; whole < 1000 {
		b = wholes[whole].append(b)
	} else {
		b = strconv.AppendInt(b, whole, 10)
	}
	return thousandths[k%1000].append(b)
}

// wholes are the numbers below 1000, thousandths what follows a number for that many of
// them: nothing, or a point and up to three digits.
var wholes, thousandths = func() (wholes, thousandths [1000]short) {
	for k := range wholes {
		wholes[k] = shortOf(strconv.Itoa(k))
		if k > 0 {
			thousandths[k] = shortOf("." + strings.TrimRight(strconv.Itoa(1000 + k)[1:], "0"))
		}
	}
	return
}()

// short is a text of at most four bytes. All four are written and those that count are kept,
// which takes no loop.
type short struct {
	bytes uint32
	n     int32
}

func shortOf(text string) short {
	var four [4]byte
	return short{n: int32(copy(four[:], text)), bytes: binary.LittleEndian.Uint32(four[:])}
}

func (s short) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, s.bytes)[:len(b)+int(s.n)]
}

// appendString writes a string of JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // every string has a form in JSON
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendData writes the values of a reading as an object.
func appendData(b []byte, r *device.Reading, show fields) []byte {
	if show == showReported {
		show = showSoC | showVoltage | showCurrent | showPower | showTemperature | showStatus
		if !math.IsNaN(r.SoH) {
			show |= showSoH
		}
		if r.Frequency > 0 {
			show |= showFrequency
		}
	}
	begin := len(b)
	if show&showSoC != 0 {
		b = appendNumber(append(b, `,"soc":`...), r.SoC)
	}
	if show&showVoltage != 0 {
		b = appendNumber(append(b, `,"voltage":`...), r.Voltage)
	}
	if show&showCurrent != 0 {
		b = appendNumber(append(b, `,"current":`...), r.Current)
	}
	if show&showPower != 0 {
		b = appendNumber(append(b, `,"power":`...), r.Power)
	}
	if show&showTemperature != 0 {
		b = appendNumber(append(b, `,"temperature":`...), r.Temperature)
	}
	if show&showStatus != 0 {
		b = append(b, `,"status":`...)
		if r.Status == device.OtherStatus {
			b = appendString(b, r.Word)
		} else { // a word of the vocabulary needs no quoting
			b = append(append(append(b, '"'), r.Status.String()...), '"')
		}
	}
	if show&showSoH != 0 {
		b = appendNumber(append(b, `,"soh":`...), r.SoH)
	}
	if show&showFrequency != 0 {
		b = appendNumber(append(b, `,"frequency":`...), r.Frequency)
	}
	if len(b) == begin {
		return append(b, "{}"...)
	}
	b[begin] = '{' // in place of the first comma
	return append(b, '}')
}

// appendFindings writes the members of a reading that follow its device:
// timestamp, data, quality and flags, without braces.
func appendFindings(b []byte, r *device.Reading) []byte { return appendShown(b, r, showReported) }

// appendCleaned writes the members of a cleaned reading, without braces: those of a
// reading, what was received (null where nothing was), and which quantities are filled,
// replaced, smoothed or doubtful, as far as any is.
func appendCleaned(b []byte, r *ingest.Row, show fields) []byte {
	b = appendShown(b, &r.Reading, show)
	b = append(b, `,"raw":`...)
	if r.Missing() {
		b = append(b, "null"...)
	} else {
		b = appendData(b, &r.Raw, show)
	}
	for _, m := range [...]struct {
		key string
		of  device.Points
	}{{"filled", r.Filled}, {"outlier", r.Outlier}, {"smoothed", r.Smoothed}, {"doubtful", r.Doubtful}} {
		if m.of == 0 {
			continue
		}
		b = append(b, `,"`...)
		b = append(b, m.key...)
		b = append(b, `":["`...)
		b = append(b, strings.Join(ingest.Names(m.of), `","`)...)
		b = append(b, `"]`...)
	}
	return b
}

func appendShown(b []byte, r *device.Reading, show fields) []byte {
	b = append(b, `"timestamp":`...)
	b = strconv.AppendInt(b, r.At, 10)
	b = append(b, `,"data":`...)
	b = appendData(b, r, show)
	b = append(b, `,"quality":"`...)
	b = append(b, r.Quality.String()...)
	b = append(b, `","flags":[`...)
	if r.Flags != 0 {
		for i, n := range r.Flags.Names() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, n...)
			b = append(b, '"')
		}
	}
	return append(b, ']')
}

// appendReading writes a reading with its device as an object.
func appendReading(b []byte, id device.ID, r *device.Reading) []byte {
	b = append(b, `{"deviceId":"`...)
	b = append(b, id...) // an ID needs no quoting
	b = append(b, `",`...)
	b = appendFindings(b, r)
	return append(b, '}')
}

// appendFleet writes the state of the fleet as an object.
func appendFleet(b []byte, f *FleetState) []byte {
	b = append(b, `{"time":`...)
	b = strconv.AppendInt(b, f.Time, 10)
	for _, n := range [...]struct {
		key string
		v   float64
	}{
		{"target_kw", f.TargetKW},
		{"power_kw", f.PowerKW},
		{"available_charge_kw", f.AvailableChargeKW},
		{"available_discharge_kw", f.AvailableDischargeKW},
		{"shortfall_kw", f.ShortfallKW},
		{"soc_mean_percent", f.SoCMean},
		{"soc_min_percent", f.SoCMin},
		{"soc_p5_percent", f.SoCP5},
		{"soc_p95_percent", f.SoCP95},
		{"soc_max_percent", f.SoCMax},
		{"temperature_max_c", f.TemperatureMaxC},
		{"commands_per_s", f.CommandsPerS},
		{"speed", f.Speed},
	} {
		b = append(b, `,"`...)
		b = append(b, n.key...)
		b = append(b, `":`...)
		b = appendNumber(b, n.v)
	}
	b = append(b, `,"reason":`...)
	if f.Reason == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, f.Reason)
	}
	for _, n := range [...]struct {
		key string
		v   int64
	}{{"online", int64(f.Online)}, {"devices", int64(f.Devices)}, {"interventions", f.Interventions}} {
		b = append(b, `,"`...)
		b = append(b, n.key...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, n.v, 10)
	}
	return append(b, '}')
}

// appendScores writes scores as an array.
func appendScores(b []byte, scores []Score) []byte {
	b = append(b, '[')
	for i := range scores {
		s := &scores[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"metric":`...)
		b = appendString(b, s.Metric)
		b = append(b, `,"stat":`...)
		b = appendString(b, s.Stat)
		b = append(b, `,"value":`...)
		b = appendNumber(b, s.Value)
		b = append(b, `,"unit":`...)
		b = appendString(b, s.Unit)
		b = append(b, `,"limit":`...)
		b = appendString(b, s.Limit)
		b = append(b, `,"pass":`...)
		if s.Pass == nil {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendBool(b, *s.Pass)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendEvent writes an event as an object; id is empty for one of the plant.
func appendEvent(b []byte, id device.ID, e *device.Event) []byte {
	b = append(b, `{"eventId":`...)
	b = appendString(b, e.ID)
	if id != "" {
		b = append(b, `,"deviceId":"`...)
		b = append(b, id...)
		b = append(b, '"')
	}
	b = append(b, `,"eventType":`...)
	b = appendString(b, e.Type)
	b = append(b, `,"severity":"`...)
	b = append(b, e.Severity.String()...)
	b = append(b, `","description":`...)
	b = appendString(b, e.Text)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, e.At, 10)
	return append(b, '}')
}

// appendAck writes an acknowledgement as an object.
func appendAck(b []byte, a *device.Ack) []byte {
	b = append(b, `{"commandId":`...)
	b = appendString(b, a.ID)
	b = append(b, `,"status":"`...)
	b = append(b, a.Status.String()...)
	b = append(b, `","code":`...)
	b = appendString(b, a.Code)
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason)
	b = append(b, `,"command":"`...)
	b = append(b, a.Verb.String()...)
	b = append(b, `","source":`...)
	b = appendString(b, a.Source)
	b = append(b, `,"before":`...)
	b = appendNumber(b, a.Before)
	b = append(b, `,"power":`...)
	b = appendNumber(b, a.Power)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, a.At, 10)
	return append(b, '}')
}
