package emul_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mbpoll runs that program on the rig's unit and returns the registers that it prints.
func mbpoll(t *testing.T, address string, args ...string) map[string]string {
	t.Helper()
	path, err := exec.LookPath("mbpoll")
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatal("mbpoll is not installed")
		}
		t.Skip("mbpoll is not installed")
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	values := []string(nil)
	if i := len(args); i > 0 && args[i-1] != "-1" { // values stand behind the host
		for i > 0 && args[i-1] != "-1" {
			i--
		}
		args, values = args[:i], args[i:]
	}
	all := append([]string{"-m", "tcp", "-p", port, "-a", "1", "-0"}, args...)
	out, err := exec.CommandContext(t.Context(), path, append(append(all, host), values...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("mbpoll %q: %v\n%s", all, err, out)
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\[(\d+)\]:\s+(\S+)`).FindAllStringSubmatch(string(out), -1) {
		got[m[1]] = m[2]
	}
	return got
}

// TestPeerMbpoll reads and commands the served unit with a program that knows registers
// and nothing of SunSpec.
func TestPeerMbpoll(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	d := r.scan() // before another goroutine has the map
	address := serve(t, r)
	if got := mbpoll(t, address, "-t", "4:hex", "-r", "40000", "-c", "4", "-1"); got["40000"] != "0x5375" || got["40001"] != "0x6E53" || got["40002"] != "0x0001" || got["40003"] != "0x0042" {
		t.Errorf("the map begins with %v", got)
	}
	at := func(name string) int {
		b, f, ok := d.Find(name)
		if !ok {
			t.Fatalf("no point %s", name)
		}
		return b.Addr + f.At
	}
	mbpoll(t, address, "-t", "4", "-r", fmt.Sprint(at("704.WSet")), "-1", "65535", "45536") // -20000 W, in one request
	r.later(2 * time.Second)
	r.wantKW("before it is enabled", 0)
	mbpoll(t, address, "-t", "4", "-r", fmt.Sprint(at("704.WSetEna")), "-1", "1")
	r.later(2 * time.Second)
	r.wantKW("enabled", 20)
	got := mbpoll(t, address, "-t", "4", "-r", fmt.Sprint(at("701.W")), "-c", "1", "-1")
	if w := got[fmt.Sprint(at("701.W"))]; w != "63536" { // -2000 x 10 W, as a number without sign
		t.Errorf("701.W is %q: %v", w, got)
	}
}
