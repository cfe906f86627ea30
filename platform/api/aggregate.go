package api

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// maxHeavy is how many questions about whole fleets are answered at a time. Each
// may keep a processor busy for seconds.
const maxHeavy = 2

type aggregateInput struct {
	Devices string `query:"devices" default:"*" maxLength:"256" doc:"glob of device ids; a device token sees its own"`
	From    string `query:"from" doc:"RFC 3339 or ms since 1970 UTC, taken down to a whole step; default: an hour before to"`
	To      string `query:"to" doc:"RFC 3339 or ms since 1970 UTC, taken up to a whole step; default: now"`
	Step    string `query:"step" default:"1m" doc:"whole seconds, such as 1s, 1m, 15m, 1h or 1d, since 1970 UTC"`
	Fields  string `query:"fields" default:"power,soc" doc:"comma separated: soc, soh, voltage, current, power, temperature, maxCharge, maxDischarge; energy comes with power"`
	Limit   int    `query:"limit" minimum:"1" maximum:"10000" default:"10000" doc:"steps in the answer"`
	Cursor  string `query:"cursor" doc:"next of the answer before, with the other parameters as they were"`
}

// stats selects what an answer shows of each quantity.
type stats uint8

const (
	showMean stats = 1 << iota
	showMin
	showMax
	showLast
	showSum
	showEnergy
	fleetStats = showMean | showMin | showMax | showLast | showSum | showEnergy
)

var statNames = []struct {
	name string
	bit  stats
}{{"mean", showMean}, {"min", showMin}, {"max", showMax}, {"last", showLast}, {"energy", showEnergy}}

func parseStats(text string) (show stats, err error) {
	for name := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(statNames, func(s struct {
			name string
			bit  stats
		},
		) bool {
			return s.name == name
		})
		if i < 0 {
			return 0, refuse(CodeInvalidRequest, "stats "+quote(text)+": there are mean, min, max, last and energy")
		}
		show |= statNames[i].bit
	}
	return show, nil
}

// quantities are the quantities of an aggregate by their names.
func quantities(text string) (f series.Fields, err error) {
	if text == "" {
		return series.AllFields &^ series.Status, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		one, ok := series.ParseField(name)
		if !ok || one == series.Status {
			return 0, refuse(CodeInvalidRequest, "fields "+quote(text)+": "+quote(name)+" is no quantity that can be aggregated")
		}
		f |= one
	}
	return f, nil
}

// aggregate answers the history of one device with statistics.
func (s *Server) aggregate(ctx context.Context, in *historyInput, info *device.Info) (*raw, error) {
	q, _, err := in.query(s.now())
	if err != nil {
		return nil, err
	}
	if q.Step == 0 {
		return nil, refuse(CodeInvalidRequest, "stats need a step")
	}
	show, err := parseStats(in.Stats)
	if err != nil {
		return nil, err
	}
	want, err := quantities(in.Fields)
	if err != nil {
		return nil, err
	}
	ask := want
	if show&showEnergy != 0 {
		ask |= series.Power
	}
	page, err := s.plant.History.Aggregate(ctx, series.AggregateQuery{
		Slots: []device.Slot{info.Slot}, From: q.From, To: q.To, Step: q.Step, Fields: ask, Limit: q.Limit, Cursor: q.Cursor,
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", info.ID, err)
	}
	return rawJSON(appendAggregate(nil, &page, want, show)), nil
}

// fleetAggregate answers what the history of many devices amounts to.
func (s *Server) fleetAggregate(ctx context.Context, in *aggregateInput) (*raw, error) {
	history := historyInput{From: in.From, To: in.To, Step: in.Step, Limit: in.Limit, Cursor: in.Cursor}
	q, _, err := history.query(s.now())
	if err != nil {
		return nil, err
	}
	want, err := quantities(in.Fields)
	if err != nil {
		return nil, err
	}
	slots, err := s.match(ctx, in.Devices)
	if err != nil {
		return nil, err
	}
	release, err := s.heavy()
	if err != nil {
		return nil, err
	}
	defer release()
	shown := fleetStats
	if want&series.Power == 0 {
		shown &^= showEnergy
	}
	page, err := s.plant.History.Aggregate(ctx, series.AggregateQuery{
		Slots: slots, From: q.From, To: q.To, Step: q.Step, Fields: want, Fleet: true, Limit: q.Limit, Cursor: q.Cursor,
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", in.Devices, err)
	}
	return rawJSON(appendAggregate(nil, &page, want, shown)), nil
}

// heavy takes one of the places for questions about whole fleets.
func (s *Server) heavy() (release func(), err error) {
	if s.heavyNow.Add(1) > maxHeavy {
		s.heavyNow.Add(-1)
		s.metrics.shed.heavy.Inc()
		return nil, refuse(CodeOverload, "too many questions about the history of many devices at once")
	}
	return func() { s.heavyNow.Add(-1) }, nil
}

// match lists the slots of the devices that the glob names and the caller may
// see, ascending.
func (s *Server) match(ctx context.Context, glob string) ([]device.Slot, error) {
	if _, err := path.Match(glob, ""); err != nil {
		return nil, refuse(CodeInvalidRequest, "devices "+quote(glob)+" is not a glob")
	}
	c := callerOf(ctx)
	var slots []device.Slot
	for after := device.ID(""); ; {
		page := s.plant.Registry.Devices(after, MaxDevices)
		for i := range page {
			if ok, _ := path.Match(glob, string(page[i].ID)); ok && c.MayOn(auth.Read, page[i].ID) {
				slots = append(slots, page[i].Slot)
			}
		}
		if len(page) < MaxDevices {
			slices.Sort(slots)
			return slots, nil
		}
		after = page[len(page)-1].ID
	}
}

// appendAggregate writes the answer.
func appendAggregate(b []byte, page *series.AggregatePage, want series.Fields, show stats) []byte {
	b = append(slices.Grow(b, 64+320*len(page.Rows)), `{"items":[`...)
	for i := range page.Rows {
		row := &page.Rows[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"timestamp":`...)
		b = strconv.AppendInt(b, row.At, 10)
		if show&showSum != 0 {
			b = append(b, `,"devices":`...)
			b = strconv.AppendInt(b, int64(row.Devices), 10)
		}
		b = append(b, `,"count":`...)
		b = strconv.AppendInt(b, row.Count, 10)
		b = append(b, `,"bad":`...)
		b = strconv.AppendInt(b, row.Bad, 10)
		if show&showEnergy != 0 {
			b = append(b, `,"energyInKwh":`...)
			b = appendNumber(b, row.EnergyIn)
			b = append(b, `,"energyOutKwh":`...)
			b = appendNumber(b, row.EnergyOut)
			b = append(b, `,"coveredS":`...)
			b = appendNumber(b, row.Covered.Seconds())
		}
		b = append(b, `,"data":{`...)
		first := true
		for f := series.SoC; f < series.Status; f <<= 1 {
			if want&f == 0 {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendStat(b, f.Name(), row.Value(f), show)
		}
		b = append(b, "}}"...)
	}
	b = append(b, `],"next":`...)
	b = appendString(b, page.Next)
	b = appendGaps(b, page.Gaps)
	return append(b, '}')
}

func appendStat(b []byte, name string, v *series.Stat, show stats) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, `":{`...)
	first := true
	for _, n := range [...]struct {
		key string
		bit stats
		v   float64
	}{{`"mean":`, showMean, v.Mean}, {`"min":`, showMin, v.Min}, {`"max":`, showMax, v.Max}, {`"last":`, showLast, v.Last}, {`"sum":`, showSum, v.Sum}} {
		if show&n.bit == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendNumber(append(b, n.key...), n.v)
	}
	return append(b, '}')
}

// appendGaps writes where readings are missing, when some are.
func appendGaps(b []byte, gaps []series.Gap) []byte {
	if len(gaps) == 0 {
		return b
	}
	b = append(b, `,"gaps":[`...)
	for i, g := range gaps {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"from":`...)
		b = strconv.AppendInt(b, g.From, 10)
		b = append(b, `,"to":`...)
		b = strconv.AppendInt(b, g.To, 10)
		b = append(b, `,"reason":`...)
		b = appendString(b, g.Reason)
		b = append(b, '}')
	}
	return append(b, ']')
}

func (s *Server) aggregateRoutes() {
	guarded(s, auth.Read, huma.Operation{
		OperationID: "aggregate-history", Method: http.MethodGet, Path: "/api/v1/history/aggregate", Tags: []string{"readings"},
		Summary: "What the readings of many devices amount to, one row a step", Responses: s.answers(&aggregateDoc{}),
	}, s.fleetAggregate)
}

// aggregateDoc documents the answer.
type aggregateDoc struct {
	Items []aggregateStepDoc `json:"items"`
	Next  string             `json:"next" doc:"cursor of what follows, empty at the end"`
	Gaps  []gapDoc           `json:"gaps,omitempty" doc:"where readings are known to be missing"`
}

type aggregateStepDoc struct {
	Timestamp    int64              `json:"timestamp" doc:"begin of the step, ms since 1970 UTC"`
	Devices      int                `json:"devices" doc:"with readings"`
	Count        int64              `json:"count" doc:"readings"`
	Bad          int64              `json:"bad" doc:"bad ones among them, which count nowhere else"`
	EnergyInKwh  float64            `json:"energyInKwh" doc:"into the devices"`
	EnergyOutKwh float64            `json:"energyOutKwh" doc:"out of them"`
	CoveredS     float64            `json:"coveredS" doc:"device time that the energy stands for; the rest of the step is gap"`
	Data         map[string]statDoc `json:"data" doc:"by quantity"`
}

type statDoc struct {
	Sum  *float64 `json:"sum" doc:"of the devices' means"`
	Mean *float64 `json:"mean" doc:"of the devices' means"`
	Min  *float64 `json:"min"`
	Max  *float64 `json:"max"`
	Last *float64 `json:"last" doc:"sum of the devices' last values"`
}

type gapDoc struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}
