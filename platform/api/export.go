package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"yunchu/platform/auth"
	"yunchu/platform/export"
	"yunchu/platform/store/series"
)

// Trailers of an export: how many readings or steps it has, and how many gaps are told
// among them.
const (
	TrailerRows = "Yunchu-Rows"
	TrailerGaps = "Yunchu-Gaps"
)

type exportInput struct {
	Devices string `query:"devices" default:"*" maxLength:"256" doc:"glob of device ids; a device token sees its own"`
	From    string `query:"from" doc:"RFC 3339 or ms since 1970 UTC; default: a day before to"`
	To      string `query:"to" doc:"RFC 3339 or ms since 1970 UTC, not included; default: now"`
	Step    string `query:"step" doc:"such as 1s, 1m, 15m, 1h or 1d: means over steps since 1970 UTC; left out: as stored"`
	Fields  string `query:"fields" doc:"comma separated: soc, soh, voltage, current, power, temperature, maxCharge, maxDischarge, status; default: all"`
	Format  string `query:"format" enum:"csv,parquet" default:"csv" doc:"of the file"`
}

// export answers the history of many devices as a file, written as it is read.
func (s *Server) export(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	q := export.Request{}
	var err error
	if q.From, q.To, err = span(in.From, in.To, s.now(), 24*time.Hour); err != nil {
		return nil, err
	}
	if in.Step != "" {
		if q.Step, err = step(in.Step); err != nil {
			return nil, err
		}
	}
	if q.Fields, err = points(in.Fields); err != nil {
		return nil, err
	}
	slots, err := s.match(ctx, in.Devices)
	if err != nil {
		return nil, err
	}
	for _, slot := range slots {
		if info, ok := s.plant.Registry.Device(slot); ok {
			q.Devices = append(q.Devices, export.Device{ID: info.ID, Slot: slot})
		}
	}
	release, err := s.heavy()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer release()
		r, w := humago.Unwrap(hc)
		s.writeExport(w, r, in.Format, q)
	}}, nil
}

// points are quantities by their names, states among them.
func points(text string) (series.Fields, error) {
	if text == "" {
		return series.AllFields, nil
	}
	f, err := series.ParseFields(text)
	if err != nil {
		return 0, refuse(CodeUnknownField, err.Error())
	}
	return f, nil
}

func (s *Server) writeExport(w http.ResponseWriter, r *http.Request, format string, q export.Request) {
	kind := "text/csv; charset=utf-8"
	if format == export.Parquet {
		kind = "application/vnd.apache.parquet"
	}
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="history.`+format+`"`)
	h.Set("Trailer", TrailerRows+", "+TrailerGaps)
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		s.log.Warn("an export must be written within the time of other answers", "error", err)
	}
	out := &begun{ResponseWriter: w, kind: kind}
	report, err := export.Write(r.Context(), out, format, q, func(ctx context.Context, q series.Query) (series.Page, error) {
		p, err := s.plant.History.Query(ctx, Query{Slot: q.Slot, From: q.From, To: q.To, Step: q.Step, Fields: q.Fields, Limit: MaxPage, Cursor: q.Cursor, Room: q.Room})
		return series.Page{Rows: p.Rows, Next: p.Next, Gaps: p.Gaps}, err
	})
	switch {
	case err == nil:
		h.Set(TrailerRows, strconv.FormatInt(report.Rows, 10))
		h.Set(TrailerGaps, strconv.FormatInt(report.Gaps, 10))
	case out.yes:
		s.log.Error("export cut off", "error", err)
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	default:
		h.Del("Content-Disposition")
		h.Del("Trailer")
		s.problemOf(r.Context(), err).write(w, r)
	}
}

func (s *Server) exportRoutes() {
	file := &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	guarded(s, auth.Read, huma.Operation{
		OperationID: "export-history", Method: http.MethodGet, Path: "/api/v1/history/export", Tags: []string{"readings"},
		Summary: "The history of many devices as a file, CSV or Parquet",
		Description: "One row a reading or step, by device and time. A row with gap_until and gap_reason and no quantity tells where readings are known to be missing. " +
			"The trailers " + TrailerRows + " and " + TrailerGaps + " count both; an answer without them was cut off.",
		Responses: map[string]*huma.Response{"200": {Description: "the file", Content: map[string]*huma.MediaType{"text/csv": file, "application/vnd.apache.parquet": file}}},
	}, s.export)
}
