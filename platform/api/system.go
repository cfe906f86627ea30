package api

import (
	"context"
	"net/http"

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
