// Command grafana writes the dashboards in deploy/grafana/dashboards.
//
//	go generate ./deploy/grafana
package main

//go:generate go run .

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The sources of provisioning/datasources: the plant itself, which has the history of
// readings, and a Prometheus that scrapes the plant's /metrics.
const (
	plant   = "yunchu"
	metrics = "yunchu-metrics"
)

type panel struct {
	title, unit string
	stat        bool
	queries     []query
}

type query struct{ expr, legend string }

type dashboard struct {
	file, title, source string
	device              bool // has a variable that chooses one
	panels              []panel
}

var dashboards = []dashboard{
	{file: "fleet", title: "Yunchu: fleet", source: plant, panels: []panel{
		{"Online", "", true, []query{{"yunchu_fleet_devices_online", "online"}, {"yunchu_fleet_devices", "known"}}},
		{"Power", "kwatt", true, []query{{"yunchu_fleet_power_kw", "power"}}},
		{"State of charge", "percent", true, []query{{"avg(yunchu_device_soc_percent)", "mean"}}},
		{"Hottest cell", "celsius", true, []query{{"max(yunchu_device_temperature_c)", "hottest"}}},
		{"Power of all devices, positive when they charge", "kwatt", false, []query{{"sum(yunchu_device_power_kw)", "power"}}},
		{"State of charge", "percent", false, []query{
			{"min(yunchu_device_soc_percent)", "lowest"}, {"avg(yunchu_device_soc_percent)", "mean"}, {"max(yunchu_device_soc_percent)", "highest"},
		}},
		{"Temperature of the hottest cell", "celsius", false, []query{{"max(yunchu_device_temperature_c)", "hottest"}, {"avg(yunchu_device_temperature_c)", "mean of devices"}}},
		{"State of health", "percent", false, []query{{"min(yunchu_device_soh_percent)", "lowest"}, {"avg(yunchu_device_soh_percent)", "mean"}}},
		{"Devices by kind", "", false, []query{{"count by (kind) (yunchu_device_online)", "{{kind}}"}}},
		{"Readings that are not good", "", false, []query{{"sum(yunchu_device_quality > bool 0)", "devices"}}},
	}},
	{file: "device", title: "Yunchu: one device", source: plant, device: true, panels: []panel{
		{"Power", "kwatt", true, []query{{`yunchu_device_power_kw{device="$device"}`, "power"}}},
		{"State of charge", "percent", true, []query{{`yunchu_device_soc_percent{device="$device"}`, "charge"}}},
		{"State of health", "percent", true, []query{{`yunchu_device_soh_percent{device="$device"}`, "health"}}},
		{"Temperature", "celsius", true, []query{{`yunchu_device_temperature_c{device="$device"}`, "hottest cell"}}},
		{"Power, positive when it charges", "kwatt", false, []query{
			{`avg_over_time(yunchu_device_power_kw{device="$device"}[$__interval])`, "power"},
			{`yunchu_device_max_charge_kw{device="$device"}`, "can take"},
			{`-yunchu_device_max_discharge_kw{device="$device"}`, "can give"},
		}},
		{"State of charge", "percent", false, []query{{`yunchu_device_soc_percent{device="$device"}`, "charge"}}},
		{"Voltage", "volt", false, []query{{`avg_over_time(yunchu_device_voltage_v{device="$device"}[$__interval])`, "voltage"}}},
		{"Current, positive when it charges", "amp", false, []query{{`avg_over_time(yunchu_device_current_a{device="$device"}[$__interval])`, "current"}}},
		{"Temperature of the hottest cell", "celsius", false, []query{{`yunchu_device_temperature_c{device="$device"}`, "hottest cell"}}},
		{"Readings in a minute, and their quality (0 good, 1 suspect, 2 bad)", "", false, []query{
			{`count_over_time(yunchu_device_quality{device="$device"}[1m])`, "readings"}, {`max_over_time(yunchu_device_quality{device="$device"}[1m])`, "worst quality"},
		}},
	}},
	{file: "dispatch", title: "Yunchu: dispatch", source: plant, panels: []panel{
		{"Target", "kwatt", true, []query{{"yunchu_fleet_target_kw", "target"}}},
		{"Power", "kwatt", true, []query{{"yunchu_fleet_power_kw", "power"}}},
		{"Shortfall", "kwatt", true, []query{{"yunchu_fleet_shortfall_kw", "shortfall"}}},
		{"Interventions of the guard", "", true, []query{{"yunchu_fleet_interventions_total", "since the start"}}},
		{"Power and target", "kwatt", false, []query{{"yunchu_fleet_target_kw", "target"}, {"yunchu_fleet_power_kw", "power"}}},
		{"Power less target", "kwatt", false, []query{{"yunchu_fleet_power_kw - yunchu_fleet_target_kw", "error"}}},
		{"What the fleet can do", "kwatt", false, []query{
			{"yunchu_fleet_available_charge_kw", "take"}, {"-yunchu_fleet_available_discharge_kw", "give"}, {"yunchu_fleet_power_kw", "power"},
		}},
		{"Commands in a second", "", false, []query{{"yunchu_fleet_commands_per_s", "commands"}}},
	}},
	{file: "operations", title: "Yunchu: data path and operations", source: metrics, panels: []panel{
		{"Requests in a second", "reqps", false, []query{{"sum by (route) (rate(yunchu_http_requests_total[$__rate_interval]))", "{{route}}"}}},
		{"Answers by status", "reqps", false, []query{{"sum by (status) (rate(yunchu_http_requests_total[$__rate_interval]))", "{{status}}"}}},
		{"Time to the answer, 99 of 100", "s", false, []query{
			{"histogram_quantile(0.99, sum by (le) (rate(yunchu_http_request_duration_seconds_bucket[$__rate_interval])))", "all routes"},
		}},
		{"Readings of the sync in a second", "", false, []query{{"sum by (result) (rate(yunchu_sync_readings_total[$__rate_interval]))", "{{result}}"}}},
		{"Turned away for want of room", "", false, []query{{"sum by (full) (rate(yunchu_http_shed_total[$__rate_interval]))", "{{full}}"}}},
		{"Requests in flight", "", false, []query{{"yunchu_http_in_flight", "requests"}}},
		{"WebSockets", "", false, []query{
			{"yunchu_ws_clients", "open"}, {"yunchu_ws_queue_frames_max", "frames of the slowest"}, {"rate(yunchu_ws_dropped_readings_total[$__rate_interval])", "readings dropped a second"},
		}},
		{"Devices", "", false, []query{{"yunchu_fleet_devices_online", "online"}, {"yunchu_fleet_devices", "known"}}},
		{"Processor", "percentunit", false, []query{{"rate(process_cpu_seconds_total[$__rate_interval])", "cores"}}},
		{"Memory", "bytes", false, []query{{"process_resident_memory_bytes", "resident"}, {"go_memstats_heap_inuse_bytes", "heap"}}},
		{"Goroutines and files", "", false, []query{{"go_goroutines", "goroutines"}, {"process_open_fds", "open files"}}},
	}},
}

func main() {
	for i := range dashboards {
		d := &dashboards[i]
		if err := os.WriteFile(filepath.Join("dashboards", d.file+".json"), d.json(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

type object map[string]any

// json is the dashboard in Grafana's form: small panels four in a row, the others two.
func (d *dashboard) json() []byte {
	source := object{"type": "prometheus", "uid": d.source}
	panels := []object{}
	x, y, height := 0, 0, 0
	for i, p := range d.panels {
		kind, w, h := "timeseries", 12, 8
		if p.stat {
			kind, w, h = "stat", 6, 4
		}
		if x+w > 24 || height != h && height != 0 {
			x, y = 0, y+height
		}
		height = h
		targets := []object{}
		for k, q := range p.queries {
			targets = append(targets, object{
				"refId": string(rune('A' + k)), "datasource": source, "expr": q.expr, "legendFormat": q.legend, "range": !p.stat, "instant": p.stat,
			})
		}
		panels = append(panels, object{
			"id": i + 1, "type": kind, "title": p.title, "datasource": source, "targets": targets,
			"gridPos":     object{"x": x, "y": y, "w": w, "h": h},
			"fieldConfig": object{"defaults": object{"unit": p.unit}, "overrides": []object{}},
		})
		x += w
	}
	variables := []object{}
	if d.device {
		variables = append(variables, object{
			"name": "device", "label": "Device", "type": "query", "datasource": source, "refresh": 1, "sort": 1,
			"query": object{"query": "label_values(yunchu_device_online, device)", "refId": "device"},
		})
	}
	b, err := json.MarshalIndent(object{
		"uid": "yunchu-" + d.file, "title": d.title, "tags": []string{"yunchu"}, "schemaVersion": 39, "version": 1, "editable": true,
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "10s", "timezone": "browser",
		"templating": object{"list": variables}, "panels": panels,
	}, "", "  ")
	if err != nil {
		panic(err) // strings and numbers
	}
	return append(b, '\n')
}
