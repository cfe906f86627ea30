package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

const healthPattern = "GET /healthz"

// caller is who sent a request that huma serves.
type caller struct {
	*auth.Principal
	host string // address without port
}

type callerKey struct{}

func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// callerFrom is the sender of a request, whose token is checked.
func callerFrom(r *http.Request, p *auth.Principal) caller {
	return caller{p, hostOf(r)}
}

// routes registers everything that is not a file.
func (s *Server) routes() error {
	s.huma = humago.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Yunchu", Version: "1",
				Description: "Virtual power plant of battery storage. Power and current are positive into the device (charging). " +
					"Units: kW, kWh, V, A, °C, percent; timestamps of readings and commands are milliseconds since 1970 UTC.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "a token from setup, login or POST /api/v1/tokens"},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{transform},
	})
	s.huma.UseMiddleware(s.identify)
	s.deviceRoutes()
	s.aggregateRoutes()
	s.exportRoutes()
	s.dispatchRoutes()
	s.identityRoutes()
	s.auditRoutes()
	s.systemRoutes()
	s.queryRoutes()
	s.computeRoutes()
	s.planRoutes()
	s.describe()
	for path, item := range s.huma.OpenAPI().Paths {
		for method := range operations(item) {
			s.metrics.add(method + " " + path)
		}
	}
	// For these the mux only knows that they exist: ServeHTTP has answered them
	// before, but for a HEAD of what can be got.
	for _, p := range []string{"POST " + syncPath, "POST " + controlPath, "GET " + wsPath, "GET " + graphPath, "POST " + graphPath} {
		s.mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) {
			refused := refuse(CodeMethodNotAllowed, r.Method+" is not for "+r.URL.Path)
			refused.allow = http.MethodGet
			refused.write(w, r)
		})
	}
	var err error
	if s.openapi, err = json.Marshal(s.huma.OpenAPI()); err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return nil
}

// schemaName names a type in the OpenAPI document.
func schemaName(t reflect.Type, hint string) string {
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Doc")
}

// transform completes refusals on their way out.
func transform(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		r, w := humago.Unwrap(ctx)
		q := *p
		q.RequestID = requestID(w.Header(), r)
		q.headers(ctx.SetHeader)
		return &q, nil
	}
	return v, nil
}

// actionKey holds, in an operation's metadata, the action that it takes. An
// operation without one is open to everybody.
const actionKey = "action"

// identify checks the token of a request against the operation's action.
func (s *Server) identify(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	c := callerFrom(r, nil)
	if a, guarded := ctx.Operation().Metadata[actionKey].(auth.Action); guarded {
		p, refused := s.who(r, bearer(r), a)
		if refused != nil {
			refused.write(w, r)
			return
		}
		c.Principal = p
		ctx = huma.WithContext(ctx, device.WithSource(ctx.Context(), p.Name))
	}
	next(huma.WithValue(ctx, callerKey{}, c))
}

// hostOf is the address that a request came from, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// guarded registers an operation that takes an action.
func guarded[I, O any](s *Server, a auth.Action, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	s.guard(&op, a)
	open(s, op, h)
}

// guard documents the action of an operation and the roles that may take it.
func (s *Server) guard(op *huma.Operation, a auth.Action) {
	op.Metadata = map[string]any{actionKey: a}
	op.Security = []map[string][]string{{"bearer": {}}}
	var roles []string
	for _, r := range s.auth.RolesThat(a) {
		roles = append(roles, r.String())
	}
	op.Extensions = map[string]any{"x-action": a.String(), "x-roles": roles}
}

// open registers an operation that needs no token.
func open[I, O any](s *Server, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	})
}

// raw is an answer whose JSON is written by hand.
type raw struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func rawJSON(b []byte) *raw { return &raw{"application/json", b} }

// streamed is an answer of JSON, in pieces, after which done is called, where it is not nil:
// they may be used for something else then.
func streamed(done func(), texts ...[]byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		size := 0
		for _, b := range texts {
			size += len(b)
		}
		h := w.Header()
		h["Content-Type"] = jsonType
		h.Set("Content-Length", strconv.Itoa(size))
		for _, b := range texts {
			w.Write(b) // who has gone misses it
		}
		if done != nil {
			done()
		}
	}}
}

// operations are the operations of a path by method.
func operations(item *huma.PathItem) map[string]*huma.Operation {
	m := map[string]*huma.Operation{}
	for method, op := range map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodDelete: item.Delete,
		http.MethodPatch: item.Patch,
	} {
		if op != nil {
			m[method] = op
		}
	}
	return m
}
