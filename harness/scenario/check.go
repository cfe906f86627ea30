package scenario

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

func elem(p any) reflect.Value { return reflect.ValueOf(p).Elem() }

// check fills in the defaults that depend on other keys, loads the series and
// finds everything that is wrong beyond single keys.
func (s *Scenario) check(f *source) {
	s.checkHead(f)
	s.checkRig(f)
	s.checkFleet(f)
	s.checkTimes(f)
	s.Site.load(f, s.Start, s.Duration)
	s.Dispatch.check(f, s.Start, s.Duration, s.ids)
	s.Dispatch.checkMeters(f, s.ids)
	if s.Dispatch.SitesAsk() && s.Site.ImportLimitKW != nil {
		f.wrong("site.import_limit_kw", "give a limit of dispatch around them, with import_kw", "sites with targets of their own are not kept to it")
	}
	for i := range s.Dispatch.Limits {
		if at := fmt.Sprintf("dispatch.limits[%d].edge", i); f.has(at) {
			f.wrong(at, "name its devices by their ids", "no sites join the plant of a run")
		}
	}
	if t := s.Dispatch.Target; t != nil && t.Import && s.Site.Load == nil && !f.has("site.load") {
		f.needsLoad("dispatch.target.import_kw")
	}
	s.checkLoads(f)
	for i := range s.Timeline {
		s.Timeline[i].check(f, fmt.Sprintf("timeline[%d]", i), s)
	}
	s.overrides = overrides(s.Timeline)
	if f.has("record.readings") {
		s.mustMatch(f, "record.readings", s.Record.Readings)
	}
	if f.has("record.devices") {
		s.mustMatch(f, "record.devices", s.Record.Devices)
	}
	for i := range s.Score {
		at := fmt.Sprintf("score[%d]", i)
		s.Score[i].check(f, at, s.Load)
		switch s.Score[i].Metric {
		case "market.revenue", "market.revenue_ratio":
			if s.Site.Price == nil && !f.has("site.price") {
				f.wrong(at+".metric", "add to site: price: {csv: PATH, time: time, column: price_per_kwh}", "%s needs a price of energy", s.Score[i].Metric)
			}
		case "fleet.wear_cost":
			if !slices.ContainsFunc(s.Fleet, func(e FleetEntry) bool { return len(e.Wear) > 0 }) {
				f.wrong(at+".metric", "yunchu wear writes the key wear of a fleet entry", "no device says what its wear costs")
			}
		}
	}
}

func (s *Scenario) checkHead(f *source) {
	if !f.has("name") {
		f.fault(place{1, 1}, "add: name: my-run", "required key %q is missing", "name")
	}
	if !f.has("fleet") && !f.has("load") {
		f.fault(place{1, 1}, "add: fleet: [{id: ess, count: 100, device: sim}]", "one of the keys fleet and load is required")
	}
	if f.has("fleet") && s.Fleet != nil && len(s.Fleet) == 0 {
		f.wrong("fleet", "add: - {id: ess, count: 100, device: sim}", "the fleet has no device")
	}
	if s.Speed != 0 && s.Clock == "wall" {
		f.wrong("speed", "take it away, or set clock: virtual", "the wall clock cannot be paced")
	}
}

// checkRig reads the rig that is served beside the run; what is wrong with it is told
// with the rest.
func (s *Scenario) checkRig(f *source) {
	if !f.has("rig") || s.Rig == "" {
		return
	}
	if s.Virtual() {
		f.wrong("rig", "set clock: wall", "a rig is served in real time only")
	}
	before := len(f.faults)
	if f.exists("rig", &s.Rig); len(f.faults) > before {
		return
	}
	r, err := LoadRig(s.Rig, f.opt)
	if wrong, ok := errors.AsType[Faults](err); ok {
		f.faults = append(f.faults, wrong...)
	} else if err != nil {
		f.wrong("rig", "", "%v", err)
	}
	s.Served = r
}

// checkTimes fills in the distances of the recorder and holds step and cycle
// against the duration.
func (s *Scenario) checkTimes(f *source) {
	if s.Step > 0 && s.Step%time.Millisecond != 0 {
		f.wrong("step", "readings carry milliseconds: write 1ms or a multiple of it", "a step of %s cannot be kept", s.Step)
	}
	switch {
	case s.ReadEvery == 0:
		s.ReadEvery = s.Step
		if !s.Virtual() {
			s.ReadEvery = min(s.Step, 500*time.Millisecond)
		}
	case s.Step > 0 && s.ReadEvery%s.Step != 0:
		f.wrong("read_every", "write "+FormatDuration(s.ReadEvery.Truncate(s.Step)+s.Step), "%s is no multiple of the step %s", FormatDuration(s.ReadEvery), FormatDuration(s.Step))
	case !s.Virtual() && s.ReadEvery > 500*time.Millisecond:
		f.wrong("read_every", "on the wall clock devices report at least every 500ms", "%s is too long", FormatDuration(s.ReadEvery))
	}
	if s.Duration > 0 && s.Step > s.Duration {
		f.wrong("step", "the run lasts "+FormatDuration(s.Duration), "a step of %s is longer than the run", FormatDuration(s.Step))
	}
	if s.Duration > 0 && s.Dispatch.Every > s.Duration && f.has("dispatch.every") {
		f.wrong("dispatch.every", "the run lasts "+FormatDuration(s.Duration), "a cycle of %s is longer than the run", FormatDuration(s.Dispatch.Every))
	}
	if s.Record.Every == 0 {
		s.Record.Every = max((s.Duration / 3600).Truncate(time.Millisecond), s.ReadEvery)
	}
	if s.Record.DevicesEvery == 0 {
		s.Record.DevicesEvery = s.Record.Every
	}
}

func (s *Scenario) checkFleet(f *source) {
	total, seen := 0, map[string]string{}
	for i := range s.Fleet {
		e, at := &s.Fleet[i], fmt.Sprintf("fleet[%d]", i)
		if e.ID == "" && !f.has(at+".id") {
			e.ID = "ess"
		}
		if e.Kind == "" && !f.has(at+".device") && e.Parts == nil {
			e.Kind = Sim
		}
		if e.Kind == Sim && e.Model == "" && !f.has(at+".model") {
			e.Model = DefaultModel
		}
		e.check(f, at, false)
		e.Shadow.check(f, at, &e.Device)
		if e.Aging != nil {
			f.nameOrFile(at+".aging.set", &e.Aging.Set, Sets{})
		}
		e.checkFacts(f, at)
		if f.has(at+".count") && e.Kind != Sim && e.Kind != "" {
			f.misplaced(at, "count", "a "+e.Kind+" device", "each wire device and recording is an entry of its own")
		}
		if e.Wire() && s.Virtual() {
			where := at + ".device"
			if e.Parts != nil {
				where = at + ".parts"
			}
			f.wrong(where, "set clock: wall, or device: sim", "virtual time cannot wait for a wire (%s)", strings.Join(e.kinds(), ", "))
		}
		if total += max(1, e.Count); total > maxDevices {
			f.wrong(at+".count", "", "the fleet has more than %d devices", maxDevices)
			return
		}
		if e.ID == "" {
			e.ID = "?" // a bad id has been reported; what follows goes on counting
		}
		ids := e.IDs()
		if last := ids[len(ids)-1]; len(last) > 64 {
			f.wrong(at+".id", "an id has at most 64 characters, its number included", "%q is too long", last)
		}
		for _, id := range ids {
			if other, twice := seen[id]; twice && e.ID != "?" {
				f.wrong(at+".id", "give each entry an id of its own", "device %q is in the fleet already (%s)", id, other)
				break
			}
			seen[id] = at
		}
		s.ids = append(s.ids, ids...)
	}
}

func (s *Scenario) checkLoads(f *source) {
	checkLoads(f, s.Load, s.Duration)
	for i := range s.Load {
		l, at := &s.Load[i], fmt.Sprintf("load[%d]", i)
		if l.API == "mqtt" {
			f.wrong(at+".api", "put it on a plant that runs: yunchu load --api mqtt --mqtt mqtt://host:1883", "the plant of a run has no broker")
		}
		if l.API != "rest-sync" && l.API != "mqtt" && len(s.Asked(l)) == 0 && l.API != "" {
			key, hint := at+".ask", "devices of the fleet, and those of loads: load-NAME-0001 …"
			if l.Ask == "" {
				key, hint = at, "add ask: load-sync-* for the devices of a load named sync"
			}
			f.wrong(key, hint, "this load has no devices to ask for")
		}
	}
	if len(s.Load) > 0 && s.Virtual() {
		f.fault(f.key("load"), "set clock: wall", "load needs the wall clock: it goes over real sockets")
	}
}

// Asked are the devices that a load asks for.
func (s *Scenario) Asked(l *LoadEntry) []string {
	if l.Ask == "" {
		return s.ids
	}
	return matching(l.Ask, s.ids, s.Load)
}

// entries are the fleet entries that have a device the glob matches, each with
// the first such id.
func (s *Scenario) entries(glob string) (found []*Device, ids []string) {
	rest := s.ids
	for i := range s.Fleet {
		n := max(1, s.Fleet[i].Count)
		if len(rest) < n {
			break // the fleet was too large, which has been reported
		}
		for _, id := range rest[:n] {
			if ok, _ := path.Match(glob, id); ok {
				found, ids = append(found, &s.Fleet[i].Device), append(ids, id)
				break
			}
		}
		rest = rest[n:]
	}
	return found, ids
}

// mustMatch returns the devices a glob matches and notes when there are none.
func (s *Scenario) mustMatch(f *source, at, glob string) []string {
	if _, err := path.Match(glob, ""); err != nil {
		f.wrong(at, "* stands for any characters, ? for one, [0-9] for one of them", "%q is not a glob", glob)
		return nil
	}
	matched := s.MatchDevices(glob)
	if len(matched) > 0 {
		return matched
	}
	hint := "the fleet has no device"
	switch n := len(s.ids); {
	case n > 0 && n <= 6:
		hint = "the fleet has " + strings.Join(s.ids, ", ")
	case n > 6:
		var spans []string
		for i := range s.Fleet {
			ids := s.Fleet[i].IDs()
			span := ids[0]
			if len(ids) > 1 {
				span += " to " + ids[len(ids)-1]
			}
			spans = append(spans, span)
		}
		hint = "the fleet has " + strings.Join(spans[:min(len(spans), 6)], ", ")
	}
	f.wrong(at, hint, "%q matches no device", short(glob))
	return nil
}
