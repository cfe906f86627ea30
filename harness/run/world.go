package run

import (
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// World is where the devices of a scenario stand. It is opened by whoever knows
// twins (harness/simworld); the engine knows devices only.
type World interface {
	// Fleets are the simulated devices in the order of the scenario.
	Fleets() []Fleet
	// Step moves the physics on to now.
	Step(now time.Time)
	// SetAmbient sets the air temperature in °C from where the physics stands.
	SetAmbient(celsius float64)
	// Sample fills in the state of all devices by index in the scenario.
	Sample(s *Sample)
	// Inject begins a fault in the physics of the devices with these indices at now, and
	// end ends it at another instant: each moves the physics there first, so that nothing
	// before it knows of the fault.
	Inject(now time.Time, f *scenario.Injection, indices []int) (end func(now time.Time), err error)
	// Balance is the largest energy residual of a unit in parts of the energy
	// it has moved, and which unit.
	Balance() (ratio float64, worst device.ID)
	// Kernel names the numerical code that the journal hash is promised for.
	Kernel() string
}

// Follower is a World that listens to the plant beside its devices and speaks on its
// bus.
type Follower interface {
	// Follow begins with what is published from now on. It is called when the plant
	// has come up, and again after a restart, with the bus that the plant then has.
	// slot tells the number of a device on it.
	Follow(b bus.Bus, slot func(device.ID) (device.Slot, bool)) error
}

// Fleet is devices that are read and written together.
type Fleet struct {
	Infos   []device.Info
	Devices device.Fleet
	First   int // index in the scenario of device 0
}

// Sample is the twins' own state, never what a faulted reading says.
type Sample struct {
	SoC, TempC, PowerKW, Voltage []float64 // by device: percent, °C, kW at AC, V
	// Nil unless a score asks for them: lowest and highest cell in V, capacity and
	// resistance in percent of the new cells.
	CellMinV, CellMaxV, SoH, Resistance []float64
	// Nil unless devices are recorded: what limit bound in the last step, and kvar.
	Limit    []string
	Reactive []float64

	AuxKWh               float64 // of cooling and heating, since the start
	Burnt                int     // cells whose separator has failed, since the start
	StoredKWh            float64
	SumKW                float64 // mean since the last sample, so that its sum is the energy
	InKW, OutKW          float64 // what of it was drawn and what delivered, both >= 0, by unit and instant
	AvailableChargeKW    float64
	AvailableDischargeKW float64
	OutOfLimits          int       // devices outside their limits in this step
	Offender             device.ID // one of them
	OffenderWhy          string
}
