package nats

import (
	"net/http"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// A server that had no time to look at itself is asked again; what it finds wrong
// is an error at once.
func TestBusyMachineIsNotAnIllServer(t *testing.T) {
	busy := server.HealthStatus{StatusCode: http.StatusInternalServerError, Error: "failed to be ready for connections after 1ms"}
	ill := server.HealthStatus{StatusCode: http.StatusServiceUnavailable, Error: "a stream could not be recovered"}
	well := server.HealthStatus{StatusCode: http.StatusOK}
	for _, tt := range []struct {
		name  string
		says  []server.HealthStatus // the last one for ever
		want  string
		asked int // at most
	}{
		{"well", []server.HealthStatus{well}, "", 1},
		{"busy, then well", []server.HealthStatus{busy, busy, well}, "", 3},
		{"busy, then ill", []server.HealthStatus{busy, ill, well}, ill.Error, 2},
		{"never ready", []server.HealthStatus{busy}, busy.Error, 1000},
	} {
		asked, got := 0, ""
		if err := judgement(func() *server.HealthStatus {
			asked++
			return &tt.says[min(asked, len(tt.says))-1]
		}); err != nil {
			got = err.Error()
		}
		if got != tt.want || asked > tt.asked {
			t.Errorf("%s: %q after asking %d times, want %q after at most %d", tt.name, got, asked, tt.want, tt.asked)
		}
	}
}
