package modbus_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"

	"yunchu/hil/modbus"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples are those of the application protocol V1.1b3, chapter 6.
func TestPDUs(t *testing.T) {
	for _, tt := range []struct {
		name, request, answer string
		want                  modbus.Request
		values                []uint16
	}{
		{"read coils", "0100130013", "0103cd6b05", modbus.Request{Function: 1, Addr: 19, Count: 19}, []uint16{1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1}},
		{"read discrete inputs", "0200c40016", "0203acdb35", modbus.Request{Function: 2, Addr: 196, Count: 22}, []uint16{0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1}},
		{"read holding registers", "03006b0003", "0306022b00000064", modbus.Request{Function: 3, Addr: 107, Count: 3}, []uint16{555, 0, 100}},
		{"read input registers", "0400080001", "0402000a", modbus.Request{Function: 4, Addr: 8, Count: 1}, []uint16{10}},
		{"write single coil", "0500acff00", "0500acff00", modbus.Request{Function: 5, Addr: 172, Count: 1, Values: []uint16{1}}, nil},
		{"write single register", "0600010003", "0600010003", modbus.Request{Function: 6, Addr: 1, Count: 1, Values: []uint16{3}}, nil},
		{"write multiple coils", "0f0013000a02cd01", "0f0013000a", modbus.Request{Function: 15, Addr: 19, Count: 10, Values: []uint16{1, 0, 1, 1, 0, 0, 1, 1, 1, 0}}, nil},
		{"write multiple registers", "100001000204000a0102", "1000010002", modbus.Request{Function: 16, Addr: 1, Count: 2, Values: []uint16{10, 258}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := modbus.ParseRequest(unhex(t, tt.request))
			if err != nil || got.Function != tt.want.Function || got.Addr != tt.want.Addr || got.Count != tt.want.Count || !slices.Equal(got.Values, tt.want.Values) {
				t.Errorf("parsed %+v, %v, want %+v", got, err, tt.want)
			}
			if b := modbus.AppendRequest(nil, &tt.want); hex.EncodeToString(b) != tt.request {
				t.Errorf("encoded %x, want %s", b, tt.request)
			}
			if b := modbus.AppendAnswer(nil, &tt.want, tt.values); hex.EncodeToString(b) != tt.answer {
				t.Errorf("answer encoded %x, want %s", b, tt.answer)
			}
			if v, err := modbus.ParseAnswer(unhex(t, tt.answer), &tt.want); err != nil || !slices.Equal(v, tt.values) {
				t.Errorf("answer parsed %v, %v, want %v", v, err, tt.values)
			}
		})
	}
}

func TestRequestsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, pdu string
		want      error
	}{
		{"nothing", "", modbus.ErrMalformed},
		{"cut", "0300", modbus.ErrMalformed},
		{"unknown function", "2b0e0100", modbus.IllegalFunction},
		{"no register", "0300000000", modbus.IllegalValue},
		{"126 registers", "030000007e", modbus.IllegalValue},
		{"2001 bits", "01000007d1", modbus.IllegalValue},
		{"coil neither on nor off", "0500000001", modbus.IllegalValue},
		{"no values", "100000000204", modbus.IllegalValue},
		{"byte count of another length", "1000000002040001", modbus.IllegalValue},
		{"124 values", "100000007cf8" + hex.EncodeToString(make([]byte, 248)), modbus.IllegalValue},
		{"beyond the last address", "03ffff0002", modbus.IllegalAddress},
		{"something behind", "030000000100", modbus.IllegalValue},
	} {
		if _, err := modbus.ParseRequest(unhex(t, tt.pdu)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// An answer counts only when it is one to the very request.
func TestAnswersThatDoNotFit(t *testing.T) {
	read := modbus.Request{Function: modbus.ReadHolding, Addr: 1, Count: 2}
	write := modbus.Request{Function: modbus.WriteRegisters, Addr: 1, Count: 1, Values: []uint16{7}}
	for _, tt := range []struct {
		name, pdu string
		of        modbus.Request
		want      error
	}{
		{"exception", "8302", read, modbus.IllegalAddress},
		{"exception of another function", "8402", read, modbus.ErrMalformed},
		{"another function", "040400010002", read, modbus.ErrMalformed},
		{"fewer registers", "03020001", read, modbus.ErrMalformed},
		{"wrong byte count", "030200010002", read, modbus.ErrMalformed},
		{"another address written", "1000020001", write, modbus.ErrMalformed},
		{"another count written", "1000010002", write, modbus.ErrMalformed},
		{"empty", "", read, modbus.ErrMalformed},
	} {
		if _, err := modbus.ParseAnswer(unhex(t, tt.pdu), &tt.of); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestFrames(t *testing.T) {
	// The check sum of Modbus over Serial Line V1.02, appendix B: 02 07 has 1241.
	if got := modbus.CRC([]byte{0x02, 0x07}); got != 0x1241 {
		t.Errorf("check sum of 02 07 = %04x, want 1241", got)
	}
	frame := modbus.AppendRTU(nil, 1, unhex(t, "0300000002"))
	if hex.EncodeToString(frame) != "010300000002c40b" {
		t.Errorf("serial frame % x", frame)
	}
	if n, err := modbus.RequestRTU(frame[:2]); n != len(frame) || err != nil {
		t.Errorf("a request that begins so has %d bytes, %v", n, err)
	}
	if unit, pdu, err := modbus.ParseRTU(frame); unit != 1 || hex.EncodeToString(pdu) != "0300000002" || err != nil {
		t.Errorf("serial frame: unit %d, % x, %v", unit, pdu, err)
	}
	frame[3] ^= 1
	if _, _, err := modbus.ParseRTU(frame); !errors.Is(err, modbus.ErrMalformed) {
		t.Errorf("a frame with a wrong bit: %v", err)
	}

	tcp := modbus.AppendTCP(nil, 0x1234, 9, unhex(t, "0300000002"))
	if hex.EncodeToString(tcp) != "123400000006090300000002" {
		t.Errorf("TCP frame % x", tcp)
	}
	buf := make([]byte, modbus.MaxPDU)
	tx, unit, pdu, err := modbus.ReadTCP(bytes.NewReader(tcp), buf)
	if tx != 0x1234 || unit != 9 || hex.EncodeToString(pdu) != "0300000002" || err != nil {
		t.Errorf("TCP frame: %04x, unit %d, % x, %v", tx, unit, pdu, err)
	}
	for _, tt := range []struct {
		name, frame string
		want        error
	}{
		{"end between two frames", "", io.EOF},
		{"cut header", "1234", io.ErrUnexpectedEOF},
		{"no unit behind its header", "12340000000609", io.ErrUnexpectedEOF},
		{"another protocol", "123400010006090300000002", modbus.ErrMalformed},
		{"no length", "12340000000009", modbus.ErrMalformed},
		{"too long", "12340000ffff09", modbus.ErrMalformed},
	} {
		if _, _, _, err := modbus.ReadTCP(bytes.NewReader(unhex(t, tt.frame)), buf); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzReadTCP(f *testing.F) {
	f.Add(modbus.AppendTCP(nil, 7, 1, []byte{3, 0, 0, 0, 2}))
	f.Add([]byte{0, 1, 0, 0, 0xFF, 0xFF, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r, buf := bytes.NewReader(stream), make([]byte, modbus.MaxPDU)
		for {
			before := len(stream) - r.Len()
			tx, unit, pdu, err := modbus.ReadTCP(r, buf)
			if err != nil {
				return
			}
			if again := modbus.AppendTCP(nil, tx, unit, pdu); !bytes.Equal(again, stream[before:len(stream)-r.Len()]) {
				t.Errorf("% x is read and encoded as % x", stream[before:], again)
			}
		}
	})
}

func FuzzParseRTU(f *testing.F) {
	f.Add(modbus.AppendRTU(nil, 1, []byte{3, 0, 0, 0, 2}))
	f.Add(modbus.AppendRTU(nil, 1, []byte{16, 0, 0, 0, 1, 2, 0, 7}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, of := range []func([]byte) (int, error){modbus.RequestRTU, modbus.AnswerRTU} {
			if n, err := of(frame); n < 0 || n > modbus.MaxRTU || n > 0 && err != nil {
				t.Errorf("% x: %d bytes, %v", frame, n, err)
			}
		}
		unit, pdu, err := modbus.ParseRTU(frame)
		if err == nil && !bytes.Equal(modbus.AppendRTU(nil, unit, pdu), frame) {
			t.Errorf("% x is read and encoded otherwise", frame)
		}
	})
}

// What is parsed is encoded to the same bytes, and answers parse as what they answer.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"0100130013", "03006b0003", "0500acff00", "0600010003", "0f0013000a02cd01", "100001000204000a0102", "2b0e"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, pdu []byte) {
		r, err := modbus.ParseRequest(pdu)
		if err != nil {
			return
		}
		again, err := modbus.ParseRequest(modbus.AppendRequest(nil, &r))
		if err != nil || again.Addr != r.Addr || again.Count != r.Count || !slices.Equal(again.Values, r.Values) {
			t.Errorf("% x is %+v, again %+v, %v", pdu, r, again, err)
		}
		var values []uint16
		if r.Reads() {
			values = make([]uint16, r.Count)
		}
		if got, err := modbus.ParseAnswer(modbus.AppendAnswer(nil, &r, values), &r); err != nil || !slices.Equal(got, values) {
			t.Errorf("answer to %+v: %v, %v", r, got, err)
		}
	})
}

// What is taken for the answer to a request has as many values as that asked for.
func FuzzAnswer(f *testing.F) {
	for _, s := range [][2]string{{"03006b0003", "0306022b00000064"}, {"0100130013", "0103cd6b05"}, {"0600010003", "0600010003"}, {"03006b0003", "8302"}} {
		f.Add(unhex(f, s[0]), unhex(f, s[1]))
	}
	f.Fuzz(func(t *testing.T, request, answer []byte) {
		r, err := modbus.ParseRequest(request)
		if err != nil {
			return
		}
		if v, err := modbus.ParseAnswer(answer, &r); err == nil && r.Reads() && len(v) != int(r.Count) {
			t.Errorf("answer % x to %+v: %v", answer, r, v)
		}
	})
}
