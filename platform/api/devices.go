package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// DevicePath is the device in a path. It is exported because huma fills no
// others.
type DevicePath struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"device id"`
}

type devicesInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"devices in the answer"`
	Cursor string `query:"cursor" doc:"next of the answer before"`
}

type devicesOutput struct {
	Body struct {
		Items []device.Info `json:"items" nullable:"false" doc:"by id"`
		Next  string        `json:"next" doc:"cursor of what follows, empty at the end"`
	}
}

type deviceOutput struct{ Body device.Info }

type registerInput struct {
	DevicePath
	Body struct {
		DeviceType   *string          `json:"deviceType,omitempty" maxLength:"128"`
		Manufacturer *string          `json:"manufacturer,omitempty" maxLength:"128"`
		Model        *string          `json:"model,omitempty" maxLength:"128"`
		CapacityKWh  *float64         `json:"capacityKwh,omitempty" minimum:"0" maximum:"1e9" doc:"usable energy when new, kWh"`
		RatedKW      *float64         `json:"ratedKw,omitempty" minimum:"0" maximum:"1e9" doc:"AC power in either direction, kW"`
		Location     *device.Location `json:"location,omitempty" doc:"degrees in WGS 84"`
		InstallDate  *string          `json:"installDate,omitempty" format:"date"`
		Limits       *device.Limits   `json:"limits,omitempty" doc:"limits in place of those that the API has set before; {} lifts them. None may be wider than the configuration's"`
		Tier         *int             `json:"tier,omitempty" minimum:"0" maximum:"100" doc:"0 is dispatched first, the next tier only for what those before it cannot give"`
		Wear         *device.Wear     `json:"wear,omitempty" doc:"cost of depth, the shallowest step first, as yunchu wear writes it; [] takes it away"`
		Loss         *device.Loss     `json:"loss,omitempty" doc:"what its converter loses while it runs"`
		SoCSD        *float64         `json:"socSd,omitempty" minimum:"0" maximum:"50" doc:"standard deviation of its state of charge, percent; 0: not known"`
	}
}

type latestInput struct {
	DevicePath
	Quality string `query:"quality" enum:"good" doc:"good: the newest good reading; left out: the newest of any quality"`
	Values  string `query:"values" enum:"raw,clean" default:"raw" doc:"clean: cleaned, with what was received beside it"`
}

type historyInput struct {
	DevicePath
	From   string `query:"from" doc:"RFC 3339 or ms since 1970 UTC; default: an hour before to"`
	To     string `query:"to" doc:"RFC 3339 or ms since 1970 UTC, not included; default: now"`
	Step   string `query:"step" doc:"such as 1s, 1m, 15m, 1h or 1d: means over steps since 1970 UTC; left out: as stored"`
	Fields string `query:"fields" doc:"comma separated: soc, voltage, current, power, temperature, status, soh; default: all that were reported"`
	Stats  string `query:"stats" doc:"comma separated, with a step: mean, min, max, last, energy; rows then hold these instead of plain means, over whole steps"`
	Values string `query:"values" enum:"raw,clean" default:"raw" doc:"clean: cleaned and filled values, with what was received beside them"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"10000" doc:"rows in the answer"`
	Cursor string `query:"cursor" doc:"next of the answer before, with the other parameters as they were"`
}

func (s *Server) deviceRoutes() {
	guarded(s, auth.Read, huma.Operation{
		OperationID: "list-devices", Method: http.MethodGet, Path: "/api/v1/devices", Tags: []string{"devices"},
		Summary: "Devices by id; a device token sees its own",
	}, s.devices)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-device", Method: http.MethodGet, Path: "/api/v1/devices/{id}", Tags: []string{"devices"},
		Summary: "What is known of a device",
	}, func(ctx context.Context, in *DevicePath) (*deviceOutput, error) {
		info, err := s.device(ctx, in.ID)
		return &deviceOutput{info}, err
	})
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-limits", Method: http.MethodGet, Path: "/api/v1/devices/{id}/limits", Tags: []string{"devices"},
		Summary: "What a device is kept to: as configured, as set here, what acts of all, and the power that leaves now",
	}, func(ctx context.Context, in *DevicePath) (*limitsOutput, error) {
		info, err := s.device(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		out := &limitsOutput{}
		out.Body.deviceLimits, err = s.limitsOf(ctx, &info)
		return out, err
	})
	guarded(s, auth.Register, huma.Operation{
		OperationID: "put-device", Method: http.MethodPut, Path: "/api/v1/devices/{id}", Tags: []string{"devices"},
		Summary: "Register a device or change it; fields that are left out stay as they were",
	}, s.register)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-latest", Method: http.MethodGet, Path: "/api/v1/devices/{id}/latest", Tags: []string{"readings"},
		Summary: "The newest reading by its own time", Responses: s.answers(&readingDoc{}),
	}, s.latest)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-history", Method: http.MethodGet, Path: "/api/v1/devices/{id}/history", Tags: []string{"readings"},
		Summary: "Readings with from ≤ t < to, ascending", Responses: s.answers(&historyDoc{}),
	}, s.history)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-features", Method: http.MethodGet, Path: "/api/v1/devices/{id}/features", Tags: []string{"readings"},
		Summary: "Rolling statistics, energy, cycles, C-rate, imbalance and clock of a device",
	}, s.features)
}

type featuresInput struct {
	DevicePath
	From string `query:"from" doc:"RFC 3339 or ms since 1970 UTC; default: a day before to"`
	To   string `query:"to" doc:"RFC 3339 or ms since 1970 UTC, not included; default: now"`
}

type featuresOutput struct {
	Body struct {
		ingest.Features
		Gaps []gapDoc `json:"gaps,omitempty" doc:"where readings are known to be missing"`
	}
}

func (s *Server) features(ctx context.Context, in *featuresInput) (*featuresOutput, error) {
	info, err := s.device(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	from, to, err := span(in.From, in.To, s.now(), 24*time.Hour)
	if err != nil {
		return nil, err
	}
	f, err := s.plant.Quality.Features(ctx, info.Slot, from, to)
	if err != nil {
		return nil, fmt.Errorf("features of %s: %w", info.ID, err)
	}
	out := &featuresOutput{}
	out.Body.Features = f.Features
	for _, g := range f.Gaps {
		out.Body.Gaps = append(out.Body.Gaps, gapDoc(g))
	}
	return out, nil
}

// deviceLimits are what a device is kept to.
type deviceLimits struct {
	Configured device.Limits `json:"configured" doc:"of the configuration, which nobody else can widen"`
	Set        device.Limits `json:"set" doc:"by the API"`
	Acting     device.Limits `json:"acting" doc:"the tightest of both, of its nameplate and of what the device tells of itself now"`
	ActingBy   windowsBy     `json:"actingBy" doc:"who sets the edges of the windows that act: configured, set, nameplate, device or default; empty where there is none"`
	Envelope   Envelope      `json:"envelope" doc:"the power that leaves now"`
}

// windowsBy says who sets the lower and the upper edge of each window.
type windowsBy struct {
	SoC         [2]string `json:"soc_percent,omitzero"`
	Voltage     [2]string `json:"voltage_v,omitzero"`
	Temperature [2]string `json:"temperature_c,omitzero"`
}

type limitsOutput struct {
	Body struct{ deviceLimits }
}

// limitsOf is what the guard keeps a device to. Of one of another site that is kept there.
func (s *Server) limitsOf(ctx context.Context, info *device.Info) (l deviceLimits, err error) {
	l = deviceLimits{Configured: info.Configured(), Set: info.Narrowed, Acting: info.Acting()}
	if l.Acting.Voltage[1] == math.MaxFloat64 { // it has a lower bound alone
		l.Acting.Voltage[1] = 0
	}
	k, err := s.plant.Registry.Kept(ctx, info.Slot)
	if err != nil {
		return l, err
	}
	l.Envelope = k.Envelope
	for _, w := range [...]struct {
		acts, own       *device.Span
		configured, set device.Span
		by              *[2]string
		rest            [2]string // who sets what none of these does
	}{
		{&l.Acting.SoC, &k.Own.SoC, l.Configured.SoC, l.Set.SoC, &l.ActingBy.SoC, byPlate(info.SoCMin, info.SoCMax, "default")},
		{&l.Acting.Voltage, &k.Own.Voltage, l.Configured.Voltage, l.Set.Voltage, &l.ActingBy.Voltage, byPlate(info.VoltMin, info.VoltMax, "")},
		{&l.Acting.Temperature, &k.Own.Temperature, l.Configured.Temperature, l.Set.Temperature, &l.ActingBy.Temperature, byPlate(0, 0, "default")},
	} {
		for i := range w.by {
			switch at := w.acts[i]; {
			case !math.IsNaN(w.own[i]):
				w.acts[i], w.by[i] = w.own[i], "device"
			case w.configured.Set() && at == w.configured[i]:
				w.by[i] = "configured"
			case w.set.Set() && at == w.set[i]:
				w.by[i] = "set"
			default:
				w.by[i] = w.rest[i]
			}
		}
	}
	return l, nil
}

// byPlate says of which edges of a window the nameplate tells, where 0 is none; none is said of
// the others.
func byPlate(low, top float64, none string) [2]string {
	by := [2]string{none, none}
	for i, v := range [...]float64{low, top} {
		if v != 0 {
			by[i] = "nameplate"
		}
	}
	return by
}

// span is the time that two parameters give, the last while where they are left out.
func span(first, end string, now time.Time, while time.Duration) (from, to int64, err error) {
	to = now.UnixMilli() + 1
	if end != "" {
		if to, err = instant("to", end); err != nil {
			return 0, 0, err
		}
	}
	from = to - while.Milliseconds()
	if first != "" {
		if from, err = instant("from", first); err != nil {
			return 0, 0, err
		}
	}
	if from > to {
		return 0, 0, refuse(CodeInvalidRequest, "from lies after to")
	}
	return from, to, nil
}

// device finds a device that the caller may see.
func (s *Server) device(ctx context.Context, id string) (device.Info, error) {
	if c := callerOf(ctx); !c.MayOn(auth.Read, device.ID(id)) {
		return device.Info{}, refuse(CodeForbiddenDevice, "the token belongs to another device than "+id)
	}
	if slot, ok := s.plant.Registry.Slot(device.ID(id)); ok {
		if info, ok := s.plant.Registry.Device(slot); ok {
			return info, nil
		}
	}
	return device.Info{}, refuse(CodeUnknownDevice, "there is no device "+id)
}

func (s *Server) devices(ctx context.Context, in *devicesInput) (*devicesOutput, error) {
	out := &devicesOutput{}
	out.Body.Items = []device.Info{}
	if c := callerOf(ctx); c.Device != "" {
		if info, err := s.device(ctx, string(c.Device)); err == nil {
			out.Body.Items = append(out.Body.Items, info)
		}
		return out, nil
	}
	after, err := fromCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	items := s.plant.Registry.Devices(after, in.Limit+1)
	if len(items) > in.Limit {
		items = items[:in.Limit]
		out.Body.Next = toCursor(items[in.Limit-1].ID)
	}
	items = slices.DeleteFunc(items, func(d device.Info) bool { return !callerOf(ctx).MayOn(auth.Read, d.ID) })
	out.Body.Items = append(out.Body.Items, items...)
	return out, nil
}

// used takes over what dispatch is told of a device.
func used(info *device.Info, in *registerInput) error {
	b := &in.Body
	set(&info.Tier, b.Tier)
	set(&info.Wear, b.Wear)
	set(&info.SoCSD, b.SoCSD)
	if b.Loss != nil {
		info.Loss = b.Loss
	}
	if err := info.Validate(); err != nil {
		return refuse(CodeInvalidRequest, err.Error())
	}
	return nil
}

// toCursor is the cursor of what follows a device.
func toCursor(id device.ID) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

// fromCursor is the device that a cursor follows, empty for the first page.
func fromCursor(text string) (device.ID, error) {
	after, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(after) > 0 && !device.ID(after).Valid() {
		return "", refuse(CodeInvalidRequest, "cursor "+quote(text)+" is not one of ours")
	}
	return device.ID(after), nil
}

func (s *Server) register(ctx context.Context, in *registerInput) (*deviceOutput, error) {
	info := device.Info{ID: device.ID(in.ID)}
	if slot, ok := s.plant.Registry.Slot(info.ID); ok {
		if known, ok := s.plant.Registry.Device(slot); ok {
			info = known
		}
	}
	b := &in.Body
	set(&info.DeviceType, b.DeviceType)
	set(&info.Manufacturer, b.Manufacturer)
	set(&info.Model, b.Model)
	set(&info.CapacityKWh, b.CapacityKWh)
	if most := info.Limits.CapKW; info.Wired() && most > 0 && b.RatedKW != nil && *b.RatedKW > most {
		return nil, refuse(CodeLimit, fmt.Sprintf("the configuration bounds the power of %s to %.6g kW, and a rating told here may not be above that: what is seen of its power would be small against a larger one", info.ID, most))
	}
	set(&info.RatedKW, b.RatedKW)
	set(&info.InstallDate, b.InstallDate)
	if b.Location != nil {
		if l := *b.Location; math.Abs(l.Lat) > 90 || math.Abs(l.Lon) > 180 || len(l.Name) > 128 {
			return nil, refuse(CodeInvalidRequest, "location: lat is -90 to 90, lon -180 to 180, name up to 128 characters")
		}
		info.Location = b.Location
	}
	if b.Limits != nil {
		if err := narrow(&info, *b.Limits); err != nil {
			return nil, err
		}
	}
	if err := used(&info, in); err != nil {
		return nil, err
	}
	info, err := s.plant.Registry.Register(ctx, info)
	if err == nil {
		s.log.InfoContext(ctx, "device registered", "device", info.ID, "by", callerOf(ctx).Name)
	}
	return &deviceOutput{info}, err
}

// narrow sets the limits of a device that the API has asked for, within those of the
// configuration.
func narrow(info *device.Info, l device.Limits) error {
	if info.Kind == "edge" {
		return refuse(CodeLimit, "the limits of "+string(info.ID)+" are kept at its site "+info.Edge)
	}
	if err := l.Validate(); err != nil {
		return refuse(CodeInvalidRequest, "limits: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if why := l.Wider(info.Configured()); why != "" {
		return refuse(CodeLimit, "limits: "+why+", which the configuration allows at most")
	}
	info.Narrowed = l
	return nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func (s *Server) latest(ctx context.Context, in *latestInput) (*raw, error) {
	info, err := s.device(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Values == "clean" {
		row, ok, err := s.plant.Quality.Cleaned(ctx, info.Slot, in.Quality == "good")
		if err != nil {
			return nil, fmt.Errorf("latest of %s: %w", info.ID, err)
		}
		if !ok {
			return nil, s.noReading(ctx, &info)
		}
		b := append(make([]byte, 0, 512), `{"deviceId":"`...)
		b = append(b, info.ID...)
		b = append(b, `",`...)
		return rawJSON(append(appendCleaned(b, &row, showReported), '}')), nil
	}
	r, ok := s.plant.Latest.Latest(info.Slot, in.Quality == "good")
	if !ok {
		return nil, s.noReading(ctx, &info)
	}
	return rawJSON(appendReading(make([]byte, 0, 256), info.ID, &r)), nil
}

// noReading is the answer where a device has none, with what its wire says about that.
func (s *Server) noReading(ctx context.Context, info *device.Info) error {
	text := "there is no such reading of " + string(info.ID)
	if info.Wired() {
		if k, err := s.plant.Registry.Kept(ctx, info.Slot); err == nil && k.Silent != "" {
			text += ", which is offline: " + k.Silent
		}
	}
	return refuse(CodeNoReading, text)
}

// pageRoom is memory for a page of the history: its rows, and what they are as JSON, in two
// pieces. A page of 10,000 readings takes 3 MB, and who asks for a day asks for nine.
type pageRoom struct {
	rows       []series.Row
	text, rest []byte
}

func (s *Server) history(ctx context.Context, in *historyInput) (*huma.StreamResponse, error) {
	info, err := s.device(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Stats != "" {
		answer, err := s.aggregate(ctx, in, &info)
		if err != nil {
			return nil, err
		}
		return streamed(nil, answer.Body), nil
	}
	q, show, err := in.query(s.now())
	if err != nil {
		return nil, err
	}
	q.Slot = info.Slot
	if !q.Clean { // cleaning looks at all of them
		q.Fields = show.needed()
	}
	room, _ := s.pages.Get().(*pageRoom)
	if room == nil {
		room = &pageRoom{}
	}
	q.Room = room.rows
	page, err := s.plant.History.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", info.ID, err)
	}
	if q.Clean {
		page.Rows = q.Room[:0]
	}
	room.rows = page.Rows
	room.write(&page, show)
	return streamed(func() { s.pages.Put(room) }, room.text, room.rest), nil
}

// alone is how many rows are written by one processor rather than by two.
const alone = 1000

// write makes text and then rest of a page of the history of a device.
func (p *pageRoom) write(page *Page, show fields) {
	rows := page.Rows
	p.rest = p.rest[:0]
	var half sync.WaitGroup
	if n := len(rows); n > alone {
		rows = rows[:n/2]
		half.Go(func() { p.rest = appendRows(append(p.rest, ','), page.Rows[n/2:], show) })
	}
	p.text = appendRows(append(p.text[:0], `{"items":[`...), rows, show)
	half.Wait()
	b := p.rest
	for i := range page.Cleaned {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = append(appendCleaned(b, &page.Cleaned[i], show), '}')
	}
	b = append(b, `],"next":`...)
	b = appendString(b, page.Next)
	b = appendGaps(b, page.Gaps)
	p.rest = append(b, '}')
}

// appendRows writes rows of a history, separated by commas.
func appendRows(b []byte, rows []series.Row, show fields) []byte {
	b = slices.Grow(b, 192*len(rows))
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"timestamp":`...)
		b = strconv.AppendInt(b, rows[i].At, 10)
		b = append(b, `,"data":`...)
		b = appendData(b, &rows[i].Reading, show)
		b = append(b, '}')
	}
	return b
}

// query is what the parameters ask for, without the device.
func (in *historyInput) query(now time.Time) (q Query, show fields, err error) {
	q = Query{Limit: in.Limit, Cursor: in.Cursor, Clean: in.Values == "clean"}
	if q.From, q.To, err = span(in.From, in.To, now, time.Hour); err != nil {
		return q, 0, err
	}
	if in.Step != "" {
		if q.Step, err = step(in.Step); err != nil {
			return q, 0, err
		}
	}
	if in.Stats == "" { // those of statistics have more names
		show, err = parseFields(in.Fields)
	}
	return q, show, err
}

func instant(name, text string) (int64, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, refuse(CodeInvalidRequest, name+" "+quote(text)+" is neither RFC 3339 nor milliseconds since 1970 UTC")
	}
	return t.UnixMilli(), nil
}

// maxStep is the longest step of a history.
const maxStep = 31 * 24 * time.Hour

func step(text string) (time.Duration, error) {
	var (
		d   time.Duration
		err error
	)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
		if n > 31 {
			d = maxStep + 1
		}
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d < time.Millisecond || d > maxStep || d%time.Millisecond != 0 {
		return 0, refuse(CodeInvalidRequest, "step "+quote(text)+" is not a duration such as 1s, 1m, 15m, 1h or 1d, of 1 ms to 31 days")
	}
	return d, nil
}

func parseFields(text string) (fields, error) {
	if text == "" {
		return showReported, nil
	}
	var show fields
next:
	for name := range strings.SplitSeq(text, ",") {
		for _, f := range showNames {
			if f.name == name {
				show |= f.bit
				continue next
			}
		}
		return 0, refuse(CodeUnknownField, "there is no field "+quote(name))
	}
	return show, nil
}

// place is what policies may know of a device.
func (s *Server) place(id device.ID) (out auth.Place) {
	if slot, ok := s.plant.Registry.Slot(id); ok {
		info, _ := s.plant.Registry.Device(slot)
		out.Kind, out.Site = info.Kind, graph.Site(&info)
	}
	return out
}
