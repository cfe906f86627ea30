package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"yunchu/platform/auth"
)

type aboutOutput struct {
	Body struct {
		About
		Role auth.Role `json:"role" enum:"viewer,operator,engineer,admin,auditor,device" doc:"of the token that asks"`
	}
}

type healthOutput struct {
	Body struct {
		Status string `json:"status" enum:"ready"`
	}
}

func (s *Server) systemRoutes() {
	tags := []string{"system"}
	guarded(s, auth.System, huma.Operation{
		OperationID: "get-system", Method: http.MethodGet, Path: "/api/v1/system", Tags: tags,
		Summary: "What runs here: version, binary, build tags, scenario",
	}, func(ctx context.Context, _ *struct{}) (*aboutOutput, error) {
		out := &aboutOutput{}
		out.Body.About, out.Body.Role = s.plant.System.About(), callerOf(ctx).Role
		if out.Body.Tags == nil {
			out.Body.Tags = []string{}
		}
		if out.Body.Damage == nil {
			out.Body.Damage = []Damage{}
		}
		return out, nil
	})
	open(s, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/healthz", Tags: tags,
		Summary: "200 once the log is replayed and the plant runs, 503 before",
	}, func(context.Context, *struct{}) (*healthOutput, error) {
		if !s.isReady() {
			return nil, refuse(CodeNotReady, "the log is being replayed")
		}
		out := &healthOutput{}
		out.Body.Status = "ready"
		return out, nil
	})
	guarded(s, auth.Backup, huma.Operation{
		OperationID: "get-backup", Method: http.MethodGet, Path: "/api/v1/backup", Tags: tags,
		Summary: "Everything that the plant keeps, as one file for yunchu restore", Responses: map[string]*huma.Response{"200": {
			Description: "tar, zstd, and age with a recipient; an answer that is cut off is no backup, and restore says so",
			Content:     map[string]*huma.MediaType{"application/zstd": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
		}},
	}, s.backup)
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-openapi", Method: http.MethodGet, Path: "/openapi.json", Tags: tags,
		Summary: "This document", Responses: map[string]*huma.Response{"200": {
			Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: "object"}}},
		}},
	}, func(context.Context, *struct{}) (*raw, error) { return rawJSON(s.openapi), nil })
	guarded(s, auth.Metrics, huma.Operation{
		OperationID: "get-metrics", Method: http.MethodGet, Path: "/metrics", Tags: tags,
		Summary: "Figures for Prometheus", Responses: map[string]*huma.Response{"200": {
			Description: "text format of Prometheus", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			s.metrics.handler.ServeHTTP(w, r)
		}}, nil
	})
}

// HeaderHistory names the store of the readings that a backup does not have.
const HeaderHistory = "Yunchu-History"

type backupInput struct {
	Recipient string `query:"recipient" maxLength:"256" doc:"encrypt for this age recipient"`
}

func (s *Server) backup(ctx context.Context, in *backupInput) (*huma.StreamResponse, error) {
	if s.plant.Backup == nil {
		return nil, fmt.Errorf("%w: this plant keeps nothing", ErrNotAvailable)
	}
	s.log.InfoContext(ctx, "backup", "by", callerOf(ctx).Name)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		out := &begun{ResponseWriter: w, kind: "application/zstd"}
		if h := s.plant.System.About().History; h != nil {
			w.Header().Set(HeaderHistory, h.Store)
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			s.log.Warn("a backup must be written within the time of other answers", "error", err)
		}
		err := s.plant.Backup.Backup(r.Context(), out, in.Recipient)
		switch {
		case err == nil:
		case out.yes:
			s.log.Error("backup cut off", "error", err)
			panic(http.ErrAbortHandler) // so that nobody takes it for whole
		default:
			s.problemOf(r.Context(), err).write(w, r)
		}
	}}, nil
}

// begun knows whether anything was written.
type begun struct {
	http.ResponseWriter
	kind string // Content-Type
	yes  bool
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if !b.yes {
		b.Header().Set("Content-Type", b.kind)
		b.yes = true
	}
	return b.ResponseWriter.Write(p)
}
