package api

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"yunchu/platform/device"
)

var samples = []string{
	`{"deviceId":"HT_ESS_001","timestamp":1703123456789,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}}`,
	`{"data":{"status":"sleeping\n","soh":null,"soc":-0,"voltage":1e-400,"current":1.7976931348623157e308,"power":9007199254740993,"temperature":0.1e1},"timestamp":0,"deviceId":"a"}`,
	`{"deviceId":"\u0041","timestamp":5,"x":[{"y":[]},true,false,null,"\ud83d\ude00"],"data":{"soc":1,"voltage":2,"current":3,"power":4,"temperature":5,"status":"idle","soh":99}}`,
	`{"deviceId":"a","deviceId":"b"}`, `{"timestamp":1.0}`, `{"timestamp":9223372036854775808}`, `{"data":{"soc":1,"soc":2}}`,
	`{"data":{"soc":1e309}}`, `{"data":null}`, `{"data":"x"}`, `[]`, `7`, ``, ` `, `{`, `{"a"`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":01}`, `{"a":-}`,
	`{"a":1.}`, `{"a":1e}`, `{"a":"\x"}`, `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":"\ud800\u0041"}`, "{\"a\":\"\xff\"}", "{\"a\":\"\t\"}", "\ufeff{}",
	`{"a":tru}`, `{"a":nul}`, `{} x`, `{"deviceId":5,"timestamp":"5","data":{"status":5,"soc":"5"}}`, `nullx`, `{"a":[1,2,]}`, `{"a":[1 2]}`,
}

// FuzzReading compares the decoder with encoding/json. The oracle reads the same
// text the slow way and applies the rules of docs/api.md to it.
func FuzzReading(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			d decoder
			e entry
		)
		d.reset(b)
		parsed := d.reading(&e) && d.end()
		if want := wellFormed(b); parsed != want {
			t.Fatalf("%q: taken for JSON %v, want %v (%s)", b, parsed, want, d.fault)
		}
		if !parsed {
			if d.fault == "" {
				t.Fatalf("%q is refused without a reason", b)
			}
			return
		}
		want, ok := oracle(b)
		if ok != (e.code == "") {
			t.Fatalf("%q: refused with %q %q, the oracle accepts: %v", b, e.code, e.detail, ok)
		}
		if !ok {
			return
		}
		got := e.reading
		if e.id != want.id || got.At != want.reading.At || !same(&got, &want.reading) {
			t.Fatalf("%q: decoded\n%+v, want\n%+v", b, e, want)
		}
	})
}

// same compares bit by bit, so that -0 differs from 0.
func same(a, b *device.Reading) bool {
	for _, p := range [][2]float64{
		{a.SoC, b.SoC},
		{a.SoH, b.SoH},
		{a.Voltage, b.Voltage},
		{a.Current, b.Current},
		{a.Power, b.Power},
		{a.Temperature, b.Temperature},
		{a.Frequency, b.Frequency},
	} {
		if math.Float64bits(p[0]) != math.Float64bits(p[1]) && !(math.IsNaN(p[0]) && math.IsNaN(p[1])) {
			return false
		}
	}
	return a.Status == b.Status && a.Word == b.Word
}

// wellFormed is what counts as JSON: what encoding/json takes, in UTF-8, without
// halves of surrogate pairs, and not nested too deep.
func wellFormed(b []byte) bool {
	if !json.Valid(b) || !utf8.Valid(b) {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
			if b[i] != 'u' {
				continue
			}
			r, _ := strconv.ParseUint(string(b[i+1:i+5]), 16, 32)
			i += 4
			if !utf16.IsSurrogate(rune(r)) {
				continue
			}
			if i+6 >= len(b) || b[i+1] != '\\' || b[i+2] != 'u' {
				return false
			}
			low, err := strconv.ParseUint(string(b[i+3:i+7]), 16, 32)
			if err != nil || utf16.DecodeRune(rune(r), rune(low)) == utf8.RuneError {
				return false
			}
			i += 6
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// members reads an object; repeated lists the keys that are there twice.
func members(raw []byte) (m map[string]json.RawMessage, repeated map[string]bool, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, false
	}
	m, repeated = map[string]json.RawMessage{}, map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, false
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, nil, false
		}
		k := key.(string)
		if _, there := m[k]; there {
			repeated[k] = true
		}
		m[k] = v
	}
	_, err := dec.Token()
	return m, repeated, err == nil || err == io.EOF
}

func oracle(b []byte) (e entry, ok bool) {
	m, twice, ok := members(b)
	if !ok || twice["deviceId"] || twice["timestamp"] || twice["data"] {
		return e, false
	}
	var id *string
	if json.Unmarshal(m["deviceId"], &id) != nil || id == nil || !device.ID(*id).Valid() {
		return e, false
	}
	e.id = device.ID(*id)
	var at *int64
	if json.Unmarshal(m["timestamp"], &at) != nil || at == nil || *at < 0 {
		return e, false
	}
	e.reading.At = *at
	data, twice, ok := members(m["data"])
	if !ok {
		return e, false
	}
	r := &e.reading
	r.SoH = math.NaN()
	for name, v := range map[string]*float64{
		"soc": &r.SoC, "voltage": &r.Voltage, "current": &r.Current, "power": &r.Power, "temperature": &r.Temperature, "soh": &r.SoH, "frequency": &r.Frequency,
	} {
		raw, there := data[name]
		if twice[name] {
			return e, false
		}
		if (name == "soh" || name == "frequency") && (!there || string(raw) == "null") {
			continue
		}
		var p *float64
		if json.Unmarshal(raw, &p) != nil || p == nil {
			return e, false
		}
		*v = *p
	}
	var word *string
	if twice["status"] || json.Unmarshal(data["status"], &word) != nil || word == nil || len(*word) > maxStatus {
		return e, false
	}
	if r.Status, ok = device.ParseStatus(*word); !ok {
		r.Word = *word
	}
	return e, true
}

// FuzzOrder checks that no text makes the decoder of commands panic, take what
// is not JSON, or let through what is out of bounds.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(`{"deviceId":"HT_ESS_001","commandId":"CMD_20231201_001","command":"setPower","parameters":{"power":50.0,"duration":3600,"priority":"high"},"timestamp":1703123456789}`))
	f.Add([]byte(`{"deviceId":"a","commandId":"b","command":"setMode","parameters":{"mode":"standby"}}`))
	f.Add([]byte(`{"deviceId":"a","commandId":"b","command":"stop","parameters":null,"timestamp":null}`))
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			d decoder
			o order
		)
		d.reset(b)
		p := d.order(&o)
		if well := wellFormed(b); well == (p != nil && p.Code == CodeMalformedJSON) {
			t.Fatalf("%q: well formed %v, refused %v", b, well, p)
		}
		if p != nil {
			return
		}
		var want struct {
			DeviceID, CommandID, Command string
			Timestamp                    int64
			Parameters                   struct {
				Power, Duration float64
				Priority, Mode  string
			}
		}
		want.Parameters.Duration, want.Parameters.Priority = 60, "normal"
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q is accepted, encoding/json says %v", b, err)
		}
		c := o.command
		if string(o.id) != want.DeviceID || c.ID != want.CommandID || c.Verb.String() != want.Command || c.At != want.Timestamp ||
			c.Power != want.Parameters.Power || c.Priority.String() != want.Parameters.Priority ||
			math.Abs(float64(c.Duration)-want.Parameters.Duration*1000) > 0.5 ||
			want.Parameters.Mode != "" && c.Mode.String() != want.Parameters.Mode {
			t.Fatalf("%q: decoded %+v, want %+v", b, o, want)
		}
		if !o.id.Valid() || c.Duration < 1 || c.Duration > maxDuration*1000 || !device.Finite(c.Power) || c.At < 0 {
			t.Fatalf("%q: out of bounds: %+v", b, o)
		}
	})
}

func FuzzFloat(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "9007199254740992", "9007199254740993", "0.1", "123456789.123456", "1e22", "1e-7", "4.9e-324", "1.7976931348623159e308", "0.000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var scan scanner
		scan.reset([]byte(s))
		raw, whole, ok := scan.number()
		if !ok || !scan.end() {
			return
		}
		got, fits := float(raw)
		want, err := strconv.ParseFloat(string(raw), 64)
		if fits != (err == nil) || fits && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: %v, %v; strconv says %v, %v", raw, got, fits, want, err)
		}
		if whole {
			n, fits := integer(raw)
			want, err := strconv.ParseInt(string(raw), 10, 64)
			if fits != (err == nil) || fits && n != want {
				t.Errorf("%s: %d, %v; strconv says %d, %v", raw, n, fits, want, err)
			}
		}
	})
}

func TestNumbersReadBack(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1.5, 1e-7, 1e21, 123456789.125, math.MaxFloat64, math.SmallestNonzeroFloat64, 48.1} {
		b := appendNumber(nil, v)
		std, err := json.Marshal(v)
		if got, ok := float(b); !ok || math.Float64bits(got) != math.Float64bits(v) || err != nil {
			t.Errorf("%v is written %s and read as %v", v, b, got)
		}
		var back float64
		if json.Unmarshal(b, &back) != nil || back != v {
			t.Errorf("%v is written %s, encoding/json writes %s", v, b, std)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendNumber(nil, v)); got != "null" {
			t.Errorf("%v is written %s, want null", v, got)
		}
	}
}

func TestStringsReadBack(t *testing.T) {
	for _, s := range []string{"", "plain", `"quoted"`, "back\\slash", "line\nbreak", "充电🔋", "<script>", "\x00\x7f", "a\xffb"} {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%q is written %s and read as %q, %v", s, appendString(nil, s), back, err)
		}
	}
}

func BenchmarkSyncDecode(b *testing.B) {
	body := []byte(samples[0])
	var (
		d decoder
		e entry
	)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d.reset(body)
		if !d.reading(&e) || !d.end() || e.code != "" {
			b.Fatal(d.fault, e.detail)
		}
	}
}
