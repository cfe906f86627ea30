package ingest

import (
	"math"
	"slices"

	"yunchu/platform/device"
)

// Row is a cleaned reading beside what was received.
type Row struct {
	device.Reading                // cleaned
	Raw            device.Reading // as received; its At is 0 where nothing was: the row fills a gap

	Outlier  device.Points // replaced, or left out: apart from their neighbours
	Filled   device.Points // not received, or not believed, and filled from what was
	Smoothed device.Points // changed by the noise filter
	Doubtful device.Points // kept, and in contradiction with the others
	dropped  device.Points // not believed
}

// Missing reports whether the row stands for a reading that never came.
func (r *Row) Missing() bool { return r.Raw.At == 0 }

// Stage is one step of cleaning: rows in, rows out. It keeps Raw as it is.
type Stage struct {
	Name  string
	Apply func(p *Profile, info *device.Info, rows []Row) []Row
}

// Stages are the steps of Clean after Order, in their order.
var Stages = []Stage{
	{"range", inRange},
	{"frozen", frozen},
	{"outlier", outliers},
	{"gap", fill},
	{"logic", fits},
	{"noise", smooth},
	{"grade", gradeRow},
}

// Clean is the cleaned series of a device: what was received in any order, through all
// stages. It depends on nothing but its arguments, and never changes raw. Rows that fill
// gaps are among the others, ascending in time.
//
// What becomes of a reading depends on those around it, up to p.Look before and after.
func Clean(p *Profile, info *device.Info, raw []device.Reading) []Row {
	rows := Order(raw)
	for _, s := range Stages {
		rows = s.Apply(p, info, rows)
	}
	return rows
}

// Order sorts readings by their own time. Of two with one time the one that arrived
// later holds, and of two that arrived together the later in raw.
func Order(raw []device.Reading) []Row {
	rows := make([]Row, len(raw))
	for i := range raw {
		rows[i] = Row{Reading: raw[i], Raw: raw[i]}
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		switch {
		case a.At != b.At:
			return int(sign64(a.At, b.At))
		default:
			return int(sign64(a.Arrived, b.Arrived))
		}
	})
	n := 0
	for i := range rows {
		if i+1 < len(rows) && rows[i+1].At == rows[i].At {
			continue
		}
		rows[n] = rows[i]
		n++
	}
	return rows[:n]
}

func sign64(a, b int64) int64 {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// inRange drops what is not possible: outside the bounds of the profile where it has
// some, else for any battery system of that rating.
func inRange(p *Profile, info *device.Info, rows []Row) []Row {
	bounds := p.Range.list()
	for i := range rows {
		r := &rows[i]
		beyond := Impossible(info.RatedKW, &r.Reading)
		v := values(&r.Reading)
		for q, b := range bounds {
			if b != nil && (*v[q] < b.Min || *v[q] > b.Max) {
				beyond |= 1 << q
			}
		}
		r.drop(beyond)
	}
	return rows
}

// drop leaves quantities out that are not believed.
func (r *Row) drop(p device.Points) {
	if p == 0 {
		return
	}
	v := values(&r.Reading)
	for q := range v {
		if p&(1<<q) != 0 && *v[q] == *v[q] {
			*v[q] = math.NaN()
			r.dropped |= 1 << q
		}
	}
}

// measured are the quantities that a device repeats when it is frozen.
const measured = device.PointSoC | device.PointSoH | device.PointVoltage | device.PointCurrent | device.PointPower | device.PointTemperature

// frozen drops what a device repeats under fresh timestamps: from the second reading
// with the values on, also those that came before ingest could know.
func frozen(_ *Profile, _ *device.Info, rows []Row) []Row {
	for i := len(rows) - 1; i > 0; i-- {
		if rows[i].Raw.Flags&device.FlagFrozen == 0 {
			continue
		}
		for i > 0 && rows[i].Raw.SameValues(&rows[i-1].Raw) {
			rows[i].drop(measured)
			rows[i].Flags |= device.FlagFrozen
			i--
		}
	}
	return rows
}

// gradeRow sets flags and quality of what became of each row. What was filled or
// replaced is suspect, whatever it is worth: nobody measured it.
func gradeRow(_ *Profile, _ *device.Info, rows []Row) []Row {
	for i := range rows {
		r := &rows[i]
		if r.Missing() {
			r.Quality = device.Suspect
		}
		if r.Outlier != 0 {
			r.Flags |= device.FlagOutlier
		}
		if r.Filled != 0 {
			r.Flags |= device.FlagFilled
		}
		if r.Doubtful != 0 {
			r.Flags |= device.FlagLogic
		}
		if r.Flags&(device.FlagOutlier|device.FlagFilled|device.FlagLogic|device.FlagFrozen) != 0 {
			r.Quality = max(r.Quality, device.Suspect)
		}
		// What made it bad is gone where something was dropped, and all of it replaced.
		if r.Quality == device.Bad && r.dropped != 0 && r.dropped&^r.Filled == 0 {
			r.Quality = device.Suspect
		}
	}
	return rows
}

// period is the usual distance of rows, ms; 0 where nothing is known.
func period(rows []Row) float64 {
	if len(rows) < 2 {
		return 0
	}
	d := make([]int64, len(rows)-1)
	for i := range d {
		d[i] = rows[i+1].At - rows[i].At
	}
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// apart is how long it is from one time to another, ms; far apart where that is too
// long to count.
func apart(from, to int64) float64 { return float64(to) - float64(from) }
