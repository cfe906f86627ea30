package emul_test

import (
	"path/filepath"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
)

// TestPseudoTerminalIsAsSlowAsItsLine: an answer over a pseudo-terminal takes no less time
// than on the line that it stands for, and the driver's own time for an answer has room for it.
func TestPseudoTerminalIsAsSlowAsItsLine(t *testing.T) {
	s := serve(t, emul.Options{
		Address: "pty://" + filepath.Join(t.TempDir(), "line?baud=1200"),
		Units:   map[byte]emul.Served{1: {Bank: memory()}},
	})
	c, err := modbus.Dial(modbus.Options{Address: s.Addr(), Unit: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const registers = 60
	least := modbus.FrameTime(1200, 8) + modbus.FrameTime(1200, 5+2*registers) // 1.28 s
	begin := time.Now()
	if _, err := c.Read(t.Context(), modbus.Holding, 0, registers); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < least {
		t.Errorf("an exchange took %v, a line of 1200 bit/s takes %v", took, least)
	}
	for _, address := range []string{"pty://./line?baud=7", "pty://./line?parity=some"} {
		if _, err := emul.Listen(emul.Options{Address: address}); err == nil {
			t.Errorf("%s is served", address)
		}
	}
}
