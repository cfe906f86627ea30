package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"yunchu/platform/auth"
	"yunchu/platform/device"
	"yunchu/platform/promql"
	"yunchu/platform/sample"
	"yunchu/platform/store/series"
)

// The routes of this file speak as the HTTP API of Prometheus does, refusals
// included, so that Grafana's data source and other tools for it can ask the
// history.

// Bounds of a query.
const (
	maxQueries     = 8 // that are evaluated at once; others wait
	maxQuerySteps  = 11_000
	maxQuerySeries = 10_000
	maxQueryPoints = 4 << 20
	queryTime      = 30 * time.Second
)

// queryFault is a refusal in Prometheus's form.
type queryFault struct {
	status int
	kind   string
	text   string
}

// Error implements error.
func (f *queryFault) Error() string { return f.text }

func badData(name string, err error) error {
	return &queryFault{http.StatusBadRequest, "bad_data", fmt.Sprintf("parameter %q: %v", name, err)}
}

func (s *Server) queryRoutes() {
	ok := map[string]*huma.Response{"200": {
		Description: "status, data", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: "object"}}},
	}}
	for _, r := range []struct {
		id, path, summary string
		post              bool
		answer            func(ctx context.Context, b []byte, q *query) ([]byte, error)
	}{
		{"query", "/api/v1/query", "A query in PromQL at an instant: query, time, timeout", true, s.instantQuery},
		{"query-range", "/api/v1/query_range", "A query in PromQL in steps: query, start, end, step, timeout", true, s.rangeQuery},
		{"query-series", "/api/v1/series", "The series that match[] selects", true, s.seriesQuery},
		{"query-labels", "/api/v1/labels", "The names of the labels of all series, or of those that match[] selects", true, s.labelsQuery},
		{"query-values", "/api/v1/label/{name}/values", "The values of a label", false, s.valuesQuery},
		{"query-metadata", "/api/v1/metadata", "What each metric is: metric, limit", false, s.metadataQuery},
		{"query-buildinfo", "/api/v1/status/buildinfo", "What answers queries", false, s.buildQuery},
	} {
		methods := []string{http.MethodGet}
		if r.post {
			methods = append(methods, http.MethodPost)
		}
		for _, method := range methods {
			op := huma.Operation{
				OperationID: r.id, Method: method, Path: r.path, Tags: []string{"prometheus"}, Summary: r.summary, Responses: ok,
				Description: "As in the HTTP API of Prometheus, a part of it; docs/api.md says which.",
			}
			if r.id == "query-values" {
				op.Parameters = []*huma.Param{{Name: "name", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}}
			}
			if method == http.MethodPost {
				op.OperationID += "-post"
				op.Description += " The parameters are a form (application/x-www-form-urlencoded)."
			}
			guarded(s, auth.Read, op, func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
				c := callerOf(ctx)
				return &huma.StreamResponse{Body: func(hc huma.Context) {
					r2, w := humago.Unwrap(hc)
					s.answerQuery(w, r2, c, r.answer)
				}}, nil
			})
		}
	}
}

// query is one request.
type query struct {
	*http.Request
	src *querySource
	now time.Time
}

// answerQuery answers in Prometheus's form.
func (s *Server) answerQuery(w http.ResponseWriter, r *http.Request, c caller, answer func(context.Context, []byte, *query) ([]byte, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	q := &query{r, &querySource{s, c, missing{}}, s.now()}
	b := append(make([]byte, 0, 4096), `{"status":"success","data":`...)
	err := r.ParseForm()
	if err != nil {
		err = &queryFault{http.StatusBadRequest, "bad_data", "the form cannot be read"}
	} else if b, err = s.limited(r.Context(), b, q, answer); err == nil {
		b = append(q.src.missing.append(b), '}')
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	if err != nil {
		f := s.queryFault(r.Context(), err)
		b = append(b[:0], `{"status":"error","errorType":`...)
		b = appendString(b, f.kind)
		b = append(b, `,"error":`...)
		b = append(appendString(b, f.text), '}')
		w.WriteHeader(f.status)
	}
	w.Write(b)
}

// limited answers within the time and the number of queries that are allowed.
func (s *Server) limited(ctx context.Context, b []byte, q *query, answer func(context.Context, []byte, *query) ([]byte, error)) ([]byte, error) {
	limit := queryTime
	if text := q.Form.Get("timeout"); text != "" {
		ms, err := parseStep(text)
		if err != nil {
			return b, badData("timeout", err)
		}
		limit = min(limit, time.Duration(ms)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	case <-ctx.Done():
		return b, fmt.Errorf("wait for other queries: %w", ctx.Err())
	}
	return answer(ctx, b, q)
}

// queryFault is what an error is to the sender.
func (s *Server) queryFault(ctx context.Context, err error) *queryFault {
	var (
		f     *queryFault
		fault *promql.Error
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &fault):
		return &queryFault{http.StatusBadRequest, "bad_data", "query: " + fault.Error()}
	case errors.Is(err, promql.ErrLimit), errors.Is(err, promql.ErrExecution):
		return &queryFault{http.StatusUnprocessableEntity, "execution", err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &queryFault{http.StatusServiceUnavailable, "timeout", "the query took longer than it may: ask for a shorter time or fewer series"}
	case errors.Is(err, context.Canceled):
		return &queryFault{http.StatusServiceUnavailable, "canceled", "the request ended before its answer"}
	}
	s.log.ErrorContext(ctx, "query failed", "error", err)
	return &queryFault{http.StatusInternalServerError, "internal", "the log of the plant says why"}
}

// evaluate evaluates the parameter query.
func (s *Server) evaluate(ctx context.Context, q *query, span promql.Span) (promql.Value, error) {
	e, err := promql.Parse(q.Form.Get("query"))
	if err != nil {
		return promql.Value{}, err
	}
	return promql.Eval(ctx, q.src, e, span, promql.Limits{Series: maxQuerySeries, Points: maxQueryPoints})
}

func (s *Server) instantQuery(ctx context.Context, b []byte, q *query) ([]byte, error) {
	at := q.now.UnixMilli()
	if text := q.Form.Get("time"); text != "" {
		var err error
		if at, err = queryTimeOf(text); err != nil {
			return b, badData("time", err)
		}
	}
	v, err := s.evaluate(ctx, q, promql.Span{Start: at, End: at})
	if err != nil {
		return b, err
	}
	if v.Scalar {
		b = append(b, `{"resultType":"scalar","result":`...)
		return append(appendPoint(b, at, v.Series[0].Values[0]), '}'), nil
	}
	b = append(b, `{"resultType":"vector","result":[`...)
	for i := range v.Series {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabels(append(b, `{"metric":`...), v.Series[i].Labels)
		b = append(b, `,"value":`...)
		b = append(appendPoint(b, at, v.Series[i].Values[0]), '}')
	}
	return append(b, "]}"...), nil
}

func (s *Server) rangeQuery(ctx context.Context, b []byte, q *query) ([]byte, error) {
	var span promql.Span
	for _, p := range []struct {
		name  string
		value *int64
		parse func(string) (int64, error)
	}{{"start", &span.Start, queryTimeOf}, {"end", &span.End, queryTimeOf}, {"step", &span.Step, parseStep}} {
		var err error
		if *p.value, err = p.parse(q.Form.Get(p.name)); err != nil {
			return b, badData(p.name, err)
		}
	}
	if span.End < span.Start {
		return b, badData("end", errors.New("it lies before start"))
	}
	if (span.End-span.Start)/span.Step > maxQuerySteps {
		return b, badData("step", fmt.Errorf("an answer has at most %d points a series: ask for a larger step", maxQuerySteps))
	}
	v, err := s.evaluate(ctx, q, span)
	if err != nil {
		return b, err
	}
	b = append(b, `{"resultType":"matrix","result":[`...)
	for i := range v.Series {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabels(append(b, `{"metric":`...), v.Series[i].Labels)
		b = append(b, `,"values":[`...)
		first := true
		for k, x := range v.Series[i].Values {
			if promql.IsAbsent(x) {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendPoint(b, span.At(k), x)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}"...), nil
}

// selected are the series of the parameters match[]; all when there are none.
func (q *query) selected(ctx context.Context) ([]promql.Ref, error) {
	selectors := q.Form["match[]"]
	if len(selectors) == 0 {
		return q.src.Select(ctx, nil)
	}
	if len(selectors) > 100 {
		return nil, badData("match[]", errors.New("more than 100 selectors"))
	}
	var all []promql.Ref
	seen := map[uint64]bool{}
	for _, text := range selectors {
		m, err := promql.ParseSelector(text)
		if err != nil {
			return nil, badData("match[]", err)
		}
		refs, err := q.src.Select(ctx, m)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			if !seen[r.ID] {
				seen[r.ID] = true
				all = append(all, r)
			}
		}
	}
	return all, nil
}

func (s *Server) seriesQuery(ctx context.Context, b []byte, q *query) ([]byte, error) {
	if len(q.Form["match[]"]) == 0 {
		return b, badData("match[]", errors.New("at least one selector is needed"))
	}
	refs, err := q.selected(ctx)
	if err != nil {
		return b, err
	}
	if len(refs) > maxQuerySeries {
		return b, fmt.Errorf("%w: %d series, at most %d; add matchers", promql.ErrLimit, len(refs), maxQuerySeries)
	}
	b = append(b, '[')
	for i := range refs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabels(b, refs[i].Labels)
	}
	return append(b, ']'), nil
}

func (s *Server) labelsQuery(ctx context.Context, b []byte, q *query) ([]byte, error) {
	return q.distinct(ctx, b, func(l promql.Label) (string, bool) { return l.Name, true })
}

func (s *Server) valuesQuery(ctx context.Context, b []byte, q *query) ([]byte, error) {
	name := q.PathValue("name")
	return q.distinct(ctx, b, func(l promql.Label) (string, bool) { return l.Value, l.Name == name })
}

// distinct lists what pick finds in the labels of the selected series, sorted.
func (q *query) distinct(ctx context.Context, b []byte, pick func(promql.Label) (string, bool)) ([]byte, error) {
	refs, err := q.selected(ctx)
	if err != nil {
		return b, err
	}
	found := map[string]bool{}
	for i := range refs {
		for _, l := range refs[i].Labels {
			if v, ok := pick(l); ok {
				found[v] = true
			}
		}
	}
	list := make([]string, 0, len(found))
	for v := range found {
		list = append(list, v)
	}
	slices.Sort(list)
	return appendJSON(b, list)
}

func (s *Server) metadataQuery(_ context.Context, b []byte, q *query) ([]byte, error) {
	type about struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	limit := math.MaxInt
	if text := q.Form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return b, badData("limit", errors.New("it is not a whole number"))
		}
		if n > 0 { // as in Prometheus, none below 1
			limit = n
		}
	}
	out := map[string][]about{}
	for _, list := range [][]sample.Metric{sample.Devices, sample.Fleet[:]} {
		for i := range list {
			m := &list[i]
			if want := q.Form.Get("metric"); want != "" && want != m.Name || len(out) == limit {
				continue
			}
			kind := "gauge"
			if m.Counter {
				kind = "counter"
			}
			out[m.Name] = []about{{kind, m.Help, m.Unit}}
		}
	}
	return appendJSON(b, out)
}

func (s *Server) buildQuery(_ context.Context, b []byte, _ *query) ([]byte, error) {
	a := s.plant.System.About()
	return appendJSON(b, map[string]string{
		"version": a.Version, "revision": a.BinarySHA256, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "", "application": "yunchu",
	})
}

func appendJSON(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// appendPoint writes a time in seconds and a value as a string.
func appendPoint(b []byte, at int64, v float64) []byte {
	b = append(b, '[')
	b = strconv.AppendFloat(b, float64(at)/1000, 'f', -1, 64)
	b = append(b, `,"`...)
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, v, format, -1, 64)
	return append(b, `"]`...)
}

func appendLabels(b []byte, l promql.Labels) []byte {
	b = append(b, '{')
	for i := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, l[i].Name)
		b = append(b, ':')
		b = appendString(b, l[i].Value)
	}
	return append(b, '}')
}

// queryTimeOf reads a time: seconds since 1970 UTC, with a fraction if need be, or
// RFC 3339. It gives ms.
func queryTimeOf(text string) (int64, error) {
	if sec, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(sec) <= 1e11) { // about 3,000 years
			return 0, fmt.Errorf("%s lies too far away", quote(text))
		}
		return int64(math.Round(sec * 1000)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("%s is neither seconds since 1970 nor RFC 3339", quote(text))
	}
	return t.UnixMilli(), nil
}

// parseStep reads a positive length: seconds or a duration such as 30s. It gives ms.
func parseStep(text string) (int64, error) {
	sec, err := strconv.ParseFloat(text, 64)
	ms := math.Round(sec * 1000)
	if err != nil {
		if ms, err = promql.ParseDuration(text); err != nil {
			return 0, err
		}
	}
	if !(ms >= 1 && ms <= 1e14) {
		return 0, fmt.Errorf("%s is not a length of at least 1 ms", quote(text))
	}
	return int64(ms), nil
}

// querySource are the series that a caller may see.
type querySource struct {
	*Server
	caller  caller
	missing missing // from what was read
}

// A series is the slot of its device and the index of its metric.
const metricBits = 8

func ref(slot device.Slot, metric int) uint64 { return uint64(slot)<<metricBits | uint64(metric) }

// Select implements promql.Source.
func (q *querySource) Select(ctx context.Context, matchers []promql.Matcher) (out []promql.Ref, err error) {
	named := func(name string) bool {
		for i := range matchers {
			if matchers[i].Name == promql.NameLabel && !matchers[i].Matches(name) {
				return false
			}
		}
		return true
	}
	if q.caller.MayWhole(auth.Read) {
		for i := range sample.Fleet {
			if l := sample.FleetLabels(&sample.Fleet[i]); promql.MatchesAll(matchers, l) {
				out = append(out, promql.Ref{Labels: l, ID: ref(device.Plant, i)})
			}
		}
	}
	var metrics []int
	for i := range sample.Devices {
		if named(sample.Devices[i].Name) {
			metrics = append(metrics, i)
		}
	}
	if len(metrics) == 0 {
		return out, nil
	}
	err = q.visible(ctx, func(info *device.Info) {
		for _, i := range metrics {
			if l := sample.Labels(&sample.Devices[i], info); promql.MatchesAll(matchers, l) {
				out = append(out, promql.Ref{Labels: l, ID: ref(info.Slot, i)})
			}
		}
	})
	return out, err
}

// visible calls yield with the devices that the caller may see, by id.
func (q *querySource) visible(ctx context.Context, yield func(*device.Info)) error {
	if id := q.caller.Device; id != "" {
		if slot, ok := q.plant.Registry.Slot(id); ok {
			if info, ok := q.plant.Registry.Device(slot); ok && q.caller.MayOn(auth.Read, id) {
				yield(&info)
			}
		}
		return nil
	}
	for after := device.ID(""); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page := q.plant.Registry.Devices(after, MaxDevices)
		for i := range page {
			if q.caller.MayOn(auth.Read, page[i].ID) {
				yield(&page[i])
			}
		}
		if len(page) < MaxDevices {
			return nil
		}
		after = page[len(page)-1].ID
	}
}

// SummarySteps implements promql.Summarizer.
func (q *querySource) SummarySteps() []int64 {
	if _, ok := q.plant.History.(series.Summarizer); !ok {
		return nil
	}
	return summarySteps
}

var summarySteps = func() (out []int64) {
	for _, d := range series.Steps {
		if d >= time.Minute {
			out = append(out, d.Milliseconds())
		}
	}
	return out
}()

// Summaries implements promql.Summarizer.
func (q *querySource) Summaries(ctx context.Context, refs []promql.Ref, step, from, to int64, yield func(i int, list []promql.Summary) error) error {
	byMetric := map[int]map[device.Slot]int{}
	for i, r := range refs {
		slot, metric := device.Slot(r.ID>>metricBits), int(r.ID&(1<<metricBits-1))
		if slot == device.Plant || !sample.Devices[metric].Summarized() {
			continue
		}
		if byMetric[metric] == nil {
			byMetric[metric] = map[device.Slot]int{}
		}
		byMetric[metric][slot] = i
	}
	var out []promql.Summary
	for _, metric := range slices.Sorted(maps.Keys(byMetric)) {
		bySlot := byMetric[metric]
		err := q.plant.History.(series.Summarizer).Summaries(ctx, slices.Sorted(maps.Keys(bySlot)), sample.Devices[metric].Fields, time.Duration(step)*time.Millisecond, from, to,
			func(slot device.Slot, list []series.Summary) error {
				out = out[:0]
				for _, s := range list {
					out = append(out, promql.Summary{
						At: s.At, N: float64(s.N), Sum: s.Sum, Min: s.Min, Max: s.Max, Last: s.Last, Edge: promql.Edge(s.Edge), First: s.First,
					})
				}
				return yield(bySlot[slot], out)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// Read implements promql.Source. The readings of a device are read once for all of
// its metrics.
func (q *querySource) Read(ctx context.Context, refs []promql.Ref, from, to int64, yield func(i int, at int64, v float64) bool) error {
	bySlot := map[device.Slot][]int{}
	var slots []device.Slot
	for i := range refs {
		slot := device.Slot(refs[i].ID >> metricBits)
		if bySlot[slot] == nil {
			slots = append(slots, slot)
		}
		bySlot[slot] = append(bySlot[slot], i)
	}
	metric := func(i int) int { return int(refs[i].ID & (1<<metricBits - 1)) }
	for _, slot := range slots {
		list := bySlot[slot]
		if slot == device.Plant {
			for _, row := range q.fleet.read(from, to) {
				for _, i := range list {
					if v := row.values[metric(i)]; v == v && !yield(i, row.at, v) {
						return nil
					}
				}
			}
			continue
		}
		ask := Query{Slot: slot, From: from, To: to + 1, Limit: MaxPage}
		for _, i := range list {
			ask.Fields |= sample.Devices[metric(i)].Fields
		}
		for {
			page, err := q.plant.History.Query(ctx, ask)
			if err != nil {
				return err
			}
			if len(page.Gaps) > 0 {
				info, _ := q.plant.Registry.Device(slot)
				q.missing.add(info.ID, page.Gaps)
			}
			for k := range page.Rows {
				r := &page.Rows[k].Reading
				for _, i := range list {
					if v, ok := sample.Devices[metric(i)].Value(r); ok && !yield(i, r.At, v) {
						return nil
					}
				}
			}
			if ask.Cursor = page.Next; page.Next == "" {
				break
			}
		}
	}
	return nil
}
