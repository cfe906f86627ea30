package aging

// Stress is what a law may depend on.
type Stress struct {
	SoC    float64 // 0..1
	TempK  float64 // K
	CRate  float64 // 1/h, above 0 charges
	AnodeV float64 // V against lithium, of the graphite at SoC
}

// RateLaw is a law whose processes age as time passes or charge flows.
type RateLaw interface {
	// Rates is by how much each process ages per second under s.
	Rates(s Stress) Processes
	// Loss is what processes of that age have done.
	Loss(age Processes) Loss
}

// CycleLaw is a law whose processes age with each cycle.
type CycleLaw interface {
	// Ages is by how much each process ages through c, all its counts included.
	Ages(c Cycle) Processes
	// Loss is what processes of that age have done.
	Loss(age Processes) Loss
}

const (
	zeroCelsius = 273.15 // K
	hour        = 3600.0 // s
	day         = 86400.0
	percent     = 0.01
)
