package sample

import "yunchu/platform/promql"

// Fleet are the metrics of the fleet as a whole.
var Fleet = [...]Metric{
	{Name: "yunchu_fleet_power_kw", Unit: "kW", Help: "Power of all devices whose readings are fresh, positive when they charge."},
	{Name: "yunchu_fleet_target_kw", Unit: "kW", Help: "Power that dispatch aims for."},
	{Name: "yunchu_fleet_shortfall_kw", Unit: "kW", Help: "Part of the target that the fleet cannot reach."},
	{Name: "yunchu_fleet_available_charge_kw", Unit: "kW", Help: "Power that the fleet can take."},
	{Name: "yunchu_fleet_available_discharge_kw", Unit: "kW", Help: "Power that the fleet can give."},
	{Name: "yunchu_fleet_soc_mean_percent", Unit: "percent", Help: "Mean state of charge of the devices whose readings are fresh."},
	{Name: "yunchu_fleet_temperature_max_c", Unit: "°C", Help: "Temperature of the hottest cell of all."},
	{Name: "yunchu_fleet_devices_online", Help: "Devices whose readings are fresh."},
	{Name: "yunchu_fleet_devices", Help: "Devices that are known."},
	{Name: "yunchu_fleet_commands_per_s", Help: "Commands of dispatch in a second."},
	{Name: "yunchu_fleet_interventions_total", Counter: true, Help: "Commands that the guard changed or refused since the start."},
}

// FleetLabels name the series of a fleet's metric.
func FleetLabels(m *Metric) promql.Labels {
	return promql.Labels{{Name: promql.NameLabel, Value: m.Name}}
}
