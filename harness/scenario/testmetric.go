package scenario

import "slices"

// TestMetric is a number that a limit of a procedure can be about.
type TestMetric struct {
	Name  string
	Unit  string
	Kinds []string // of measures that have it
	Doc   string
}

// testMetrics are the metrics of the acceptance suite. The definitions are those of
// package metric; harness/README.md has the table.
var testMetrics = []TestMetric{
	{"dead_time_s", "s", []string{"step", "frequency"}, "until the power has moved by dead_percent of rated power"},
	{"response_time_s", "s", []string{"step", "frequency"}, "until it has gone share_percent of the way"},
	{"settling_time_s", "s", []string{"step", "frequency"}, "after which it stays within band_percent around the setpoint to the end, for settle_s at least"},
	{"deviation_percent", "percent", []string{"step", "hold", "frequency"}, "of the mean power from the setpoint, of rated power, without a sign; of a step after it has settled"},
	{"overshoot_percent", "percent", []string{"step", "transition"}, "beyond the setpoint, of the step"},
	{"slope_percent_per_s", "percent/s", []string{"step", "ramp"}, "from 10 to 90 % of the step, of rated power"},
	{"settled", "", []string{"step", "transition"}, "1 when the power stayed in the band for settle_s and to the end, 0 when not"},
	{"ack_s", "s", []string{"step", "zero", "hold"}, "from the command to its acknowledgement"},
	{"ramp_excess_percent", "percent", []string{"ramp"}, "above the ramp that was set and 0.2 %/s, of rated power"},
	{"ramp_lack_percent", "percent", []string{"ramp"}, "below that ramp less 5 %, of rated power"},
	{"reached_percent", "percent", []string{"ramp", "hold"}, "the mean power of the last second, of the setpoint"},
	{"max_error_percent", "percent", []string{"hold", "tracking"}, "largest error against the setpoint, of rated power"},
	{"hysteresis_percent", "percent", []string{"hold"}, "difference of the mean powers at one setpoint, reached from either side, of rated power"},
	{"reversals", "", []string{"hold"}, "setpoints at which the mean power did not go the way that the setpoint went"},
	{"wrong_sign", "", []string{"hold"}, "readings whose power, or whose current of the battery, has another sign than the setpoint"},
	{"power_error_percent", "percent", []string{"hold"}, "of the mean power that the device reports against the reference's, of rated power"},
	{"reactive_error_percent", "percent", []string{"hold"}, "of the mean reactive power that the device reports against the reference's, of rated power; it does not apply where none flows"},
	{"transition_time_s", "s", []string{"transition"}, "from the last sample with 90 % of the old power to the first with 90 % of the new one"},
	{"zero_time_s", "s", []string{"zero"}, "until the power stays below zero_percent of rated power"},
	{"unstopped", "", []string{"zero"}, "readings, in the second half, in which the device says that it is at work; it must say more than that it rests"},
	{"exceeding_samples", "", []string{"limit"}, "readings above limit_percent and 5 % of rated power, after after_s; a device that has less by itself shows nothing"},
	{"active_samples", "", []string{"alive"}, "readings with more than zero_percent of rated power"},
	{"rms_error_percent", "percent", []string{"tracking"}, "against the signal, of rated power"},
	{"within_percent", "percent", []string{"tracking"}, "share of the time within 2 % of rated power"},
	{"correlation", "", []string{"tracking"}, "with the signal at the best lag"},
	{"lag_s", "s", []string{"tracking"}, "the lag with the best correlation"},
	{"pjm_score", "", []string{"tracking"}, "performance score of PJM Manual 12"},
	{"k1", "", []string{"tracking"}, "of k: rate by the standard rate, mean over commands"},
	{"k2", "", []string{"tracking"}, "of k: 1 less delay by the standard delay, mean over commands"},
	{"k3", "", []string{"tracking"}, "of k: 1 less error by the standard error, mean over commands"},
	{"k", "", []string{"tracking"}, "index of following automatic generation control by the rules of Hunan, the weighted sum of its three parts, mean over commands"},
	{"kp1", "", []string{"tracking"}, "of kp: 2 less the standard rate by the rate, mean over commands"},
	{"kp2", "", []string{"tracking"}, "of kp: 2 less error by the standard error, mean over commands"},
	{"kp3", "", []string{"tracking"}, "of kp: 2 less delay by the standard delay, mean over commands"},
	{"kp", "", []string{"tracking"}, "index of following automatic generation control as SolveAGC has it, the product of its three parts, mean over commands"},
	{"energy_kwh", "kWh", []string{"charge", "discharge"}, "at the AC terminals"},
	{"energy_percent", "percent", []string{"charge", "discharge"}, "of the rated energy, as far as the device's window of charge reaches"},
	{"duration_s", "s", []string{"charge", "discharge"}, "how long the step took"},
	{"soc_error_percent", "percent", []string{"charge", "discharge"}, "of the reported state of charge against counted charge"},
	{"soc_truth_error_percent", "percent", []string{"charge", "discharge"}, "of the reported state of charge against the bench's"},
	{"voltage_error_v", "V", []string{"charge", "discharge"}, "of the reported voltage of the battery against the bench's"},
	{"temperature_error_c", "K", []string{"charge", "discharge"}, "of the reported temperature against the bench's"},
	{"efficiency_percent", "percent", []string{"charge", "discharge"}, "mean over cycles of discharged over charged energy, without auxiliaries"},
	{"efficiency_net_percent", "percent", []string{"charge", "discharge"}, "the same with auxiliaries taken off and added"},
	{"accepted", "", []string{"refused"}, "commands that had to be refused and were not"},
	{"mismatches", "", []string{"settings"}, "settings that read back differently, or were not restored"},
	{"settings_tried", "", []string{"settings"}, "settings that were written"},
	{"exchange_ms", "ms", []string{"exchange"}, "how long an exchange took"},
	{"exchange_error_percent", "percent", []string{"exchange"}, "of exchanges that failed"},
	{"frame_loss_percent", "%", []string{"exchange"}, "of the frames that the device sends by itself, by their periods"},
	{"not_refused", "", []string{"probe"}, "trials that the device did not refuse as its protocol asks"},
	{"changed", "", []string{"probe"}, "trials that changed the state of the device"},
	{"age_ms", "ms", []string{"test"}, "largest delay from measuring a reading to its arrival"},
	{"gaps", "", []string{"test"}, "of the power, times of more than reading_age_s without a reading"},
	{"silence_s", "s", []string{"test"}, "longest time without a reading of the power"},
	{"flat_s", "s", []string{"test"}, "longest time for which the reported power stood still while the reference moved"},
	{"frozen_channels", "", []string{"test"}, "of state of charge, temperature, voltage and current that stood still while what must move them did"},
	{"time_offset_ms", "ms", []string{"test"}, "of the reported power behind the reference's, without a sign"},
	{"missing_channels", "", []string{"test"}, "of power, state of charge, voltage, current and temperature that are not reported, or not any more"},
	{"alarms", "", []string{"test"}, "readings in fault, and events of the device that are critical"},
	{"trips", "", []string{"test", "trip"}, "times the device went to fault, and of a step also lost the power that it was asked for: from 3 s after a new setpoint on, and from 1 s where it goes on with the one before"},
}

// TestMetrics lists the metrics of the acceptance suite.
func TestMetrics() []TestMetric { return slices.Clone(testMetrics) }

// FindTestMetric finds one by name.
func FindTestMetric(name string) (TestMetric, bool) {
	i := slices.IndexFunc(testMetrics, func(m TestMetric) bool { return m.Name == name })
	if i < 0 {
		return TestMetric{}, false
	}
	return testMetrics[i], true
}

func testMetricNames() (names []string) {
	for _, m := range testMetrics {
		names = append(names, m.Name)
	}
	return names
}

// MeasureKinds are the kinds of measures that a step can have.
func MeasureKinds() (kinds []string) {
	for _, m := range testMetrics {
		for _, k := range m.Kinds {
			if k != "test" && !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}
