package can_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"yunchu/hil/can"
)

func FuzzParseSLCAN(f *testing.F) {
	for _, s := range []string{"t35181402740E740ECC01", "T0000421081122334455667788", "r3058", "t3551AA10F3", "z", "t8000", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		frame, err := can.ParseSLCAN(line)
		if err != nil {
			return
		}
		if err := frame.Validate(); err != nil {
			t.Fatalf("%q is %+v: %v", line, frame, err)
		}
		again, err := can.ParseSLCAN(bytes.TrimSuffix(can.AppendSLCAN(nil, frame), []byte("\r")))
		if err != nil || again != frame {
			t.Fatalf("%q is %+v, which is written as %+v: %v", line, frame, again, err)
		}
	})
}

func FuzzParseSocketcand(f *testing.F) {
	for _, s := range []string{"frame 123 1.000000 1122", "frame 00000123 1.000000 11 22", "ok", "frame 800 1 ", "error x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		frame, err := can.ParseSocketcand(message)
		if err != nil {
			return
		}
		if err := frame.Validate(); err != nil || frame.IsRemote {
			t.Fatalf("%q is %+v: %v", message, frame, err)
		}
	})
}

func FuzzParseFrame(f *testing.F) {
	f.Add(can.AppendFrame(nil, can.Frame{ID: 0x351, Length: 8}))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := can.ParseFrame(b)
		if err == nil && !bytes.Equal(can.AppendFrame(nil, frame), b) {
			t.Fatalf("%x is %+v, which is written otherwise", b, frame)
		}
	})
}

func FuzzParseDatabase(f *testing.F) {
	files, err := filepath.Glob("dbc/*.dbc")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("BO_ 256 M: 8 B\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" B\n SG_ A m0 : 8|8@0- (1e400,0) [0|0] \"\" B\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		db, err := can.ParseDatabase("x.dbc", src)
		if err != nil {
			return
		}
		for _, m := range db.Messages {
			frame := m.Frame()
			values, raw := make([]float64, len(m.Signals)), make([]uint64, len(m.Signals))
			for length := range uint8(9) {
				frame.Length = length
				m.Decode(&frame, values, raw)
			}
			for i := range m.Signals {
				m.Signals[i].Encode(&frame.Data, values[i])
			}
		}
	})
}

// FuzzDecode lets strangers send frames to every protocol that ships.
func FuzzDecode(f *testing.F) {
	var dbs []*can.Database
	for _, name := range can.Shipped() {
		dbs = append(dbs, load(f, name).Database())
	}
	f.Add(uint32(0x351), uint8(8), []byte{0x14, 2, 0x74, 0xE, 0x74, 0xE, 0xCC, 1})
	f.Add(uint32(0x18001800), uint8(200), []byte{0xFF})
	f.Fuzz(func(t *testing.T, id uint32, length uint8, data []byte) {
		frame := can.Frame{ID: id, Length: length}
		copy(frame.Data[:], data)
		for _, db := range dbs {
			for _, m := range db.Messages {
				values, raw := make([]float64, len(m.Signals)), make([]uint64, len(m.Signals))
				m.Decode(&frame, values, raw)
				for i := range m.Signals {
					s := &m.Signals[i]
					if v := values[i]; v == v && (v < -1e7 || v > 2e19) {
						t.Fatalf("%s of % X: %v", s.Name, frame.Data, v)
					}
				}
			}
		}
	})
}

func FuzzParseProfile(f *testing.F) {
	files, err := filepath.Glob("dbc/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("messages: {name: [}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := can.ParseProfile("x.yaml", src, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("dbc", filepath.Base(name))) })
		if err != nil {
			return
		}
		d, err := can.New(can.Options{Profile: p, Address: "socketcan://can0"})
		if err != nil {
			t.Fatalf("a profile without a fault is no device: %v", err)
		}
		_ = d.Close()
		for i := range p.Messages {
			frame := p.Database().Message(p.Messages[i].Name).Frame()
			p.Request(&frame)
		}
	})
}
