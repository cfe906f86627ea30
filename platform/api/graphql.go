package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
	"yunchu/platform/device"
)

const (
	graphPath    = "/graphql"
	maxGraph     = 256 << 10       // bytes of a request
	graphTime    = 5 * time.Second // for a query or a mutation
	graphCached  = 256             // documents that were parsed and checked
	graphOneType = "application/graphql-response+json"
)

// newGraph returns what executes the documents of GraphQL, with everything that
// holds for all of them: limits, the right to each root field, the form of errors.
func (s *Server) newGraph() *executor.Executor {
	schema := graph.NewExecutableSchema(graph.Config{
		Resolvers:  &resolvers{s},
		Directives: graph.DirectiveRoot{Needs: s.needs},
	})
	documents := lru.New[*ast.QueryDocument](graphCached)
	e := executor.New(schema)
	e.SetQueryCache(documents)
	e.SetParserTokenLimit(graph.DefaultLimits.Tokens)
	e.SetErrorPresenter(s.present)
	e.SetRecoverFunc(func(ctx context.Context, fault any) error {
		s.log.ErrorContext(ctx, "query panicked", "field", graphql.GetPath(ctx).String(), "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
		return refuse(CodeInternal, "")
	})
	e.Use(graph.Limit(graph.DefaultLimits, schema.Schema(), documents))
	e.AroundOperations(s.operation)
	return e
}

// graphActions are the actions that the schema names.
var graphActions = map[graph.Action]auth.Action{
	graph.ActionRead: auth.Read, graph.ActionControl: auth.Control, graph.ActionDispatch: auth.Dispatch,
	graph.ActionRegister: auth.Register, graph.ActionSystem: auth.System,
}

// needs checks that a field is open to the caller: it is the directive of the
// schema, which every root field carries.
func (s *Server) needs(ctx context.Context, _ any, next graphql.Resolver, action graph.Action, plant bool) (any, error) {
	c := callerOf(ctx)
	a, known := graphActions[action]
	if !known || !c.May(a) {
		return nil, refuse(CodeForbidden, fmt.Sprintf("the role %s does not allow %s", c.Role, action))
	}
	if a == auth.Control || a == auth.Dispatch {
		if refused := s.within(c.Principal, a); refused != nil {
			return nil, refused
		}
	}
	if plant && !c.MayWhole(a) {
		return nil, refuse(CodeForbidden, "a device token sees nothing but its device")
	}
	return next(ctx)
}

// operation holds one operation to its time, and those of a WebSocket to their
// number.
func (s *Server) operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	live := graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription
	socket, _ := ctx.Value(socketKey{}).(*graphSocket)
	if socket == nil {
		if live {
			return s.only(ctx, refuse(CodeInvalidRequest, "subscriptions need a WebSocket"))
		}
		return next(ctx) // its time is that of the request
	}
	if refused := s.within(socket.principal, auth.Read); refused != nil {
		return s.only(ctx, refused)
	}
	if !socket.begin() {
		return s.only(ctx, refuse(CodeOverload, fmt.Sprintf("more than %d operations are open on this WebSocket", socketOperations)))
	}
	cancel := func() {}
	if !live {
		ctx, cancel = context.WithTimeout(ctx, graphTime)
	}
	responses, ended := next(ctx), false
	return func(ctx context.Context) *graphql.Response {
		r := responses(ctx)
		if (r == nil || !live) && !ended {
			ended = true
			cancel()
			socket.end()
		}
		return r
	}
}

// only answers an operation that is not executed.
func (s *Server) only(ctx context.Context, err error) graphql.ResponseHandler {
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{s.present(ctx, err)}})
}

// present is the form of all errors: the codes of the REST interface, and nothing
// of what nobody foresaw.
func (s *Server) present(ctx context.Context, err error) *gqlerror.Error {
	out := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	var (
		g *gqlerror.Error
		p *Problem
	)
	if errors.As(err, &g) {
		out.Path, out.Locations = g.Path, g.Locations
	}
	switch {
	case errors.As(err, &p):
	case errors.Is(err, graph.ErrLimit):
		p = refuse(CodeQueryLimit, g.Message)
	case errors.Is(err, graph.ErrInput):
		p = refuse(CodeInvalidParameter, g.Message)
	case g != nil && g.Extensions["code"] == errcode.ParseFailed:
		p = refuse(CodeMalformedQuery, g.Message)
	case g != nil && g.Extensions["code"] == errcode.ValidationFailed:
		p = refuse(CodeInvalidQuery, g.Message)
	case errors.Is(err, context.DeadlineExceeded):
		p = refuse(CodeQueryLimit, fmt.Sprintf("the query takes longer than %v", graphTime))
	default:
		p = s.problemOf(ctx, err)
	}
	out.Message = p.Detail
	if out.Message == "" {
		out.Message = p.Title
	}
	out.Extensions = map[string]any{"code": p.Code}
	if p.Hint != "" {
		out.Extensions["hint"] = p.Hint
	}
	if p.Reason != "" {
		out.Extensions["reason"] = p.Reason
	}
	return out
}

// graphql answers POST /graphql and, for queries, GET.
func (s *Server) graphql(w http.ResponseWriter, r *http.Request) int {
	secure(w.Header())
	p, refused := s.who(r, bearer(r), auth.Read)
	if refused != nil {
		return refused.write(w, r)
	}
	ctx := graphql.StartOperationTrace(context.WithValue(device.WithSource(r.Context(), p.Name), callerKey{}, callerFrom(r, p)))
	op, faults, refused := s.document(ctx, w, r)
	if refused != nil {
		return refused.write(w, r)
	}
	if len(faults) == 0 {
		place := &s.others
		if op.Operation.Operation == ast.Mutation {
			place = &s.commands
		}
		if !place.enter() {
			return place.full().write(w, r)
		}
		defer place.leave()
	}
	ctx, cancel := context.WithTimeout(ctx, graphTime)
	defer cancel()
	one := strings.Contains(r.Header.Get("Accept"), graphOneType)
	status := http.StatusOK
	var answer *graphql.Response
	switch {
	case len(faults) > 0:
		if one {
			status = http.StatusBadRequest
		}
		answer = s.graph.DispatchError(graphql.WithOperationContext(ctx, op), faults)
	case r.Method == http.MethodGet && op.Operation.Operation != ast.Query:
		refused := refuse(CodeMethodNotAllowed, "GET is for queries alone")
		refused.allow = http.MethodPost
		return refused.write(w, r)
	default:
		respond, ctx := s.graph.DispatchOperation(ctx, op)
		answer = respond(ctx)
	}
	if answer == nil { // the time was up before it began
		answer = &graphql.Response{Errors: gqlerror.List{s.present(ctx, context.DeadlineExceeded)}}
	}
	var told any = answer
	if len(faults) > 0 { // nothing was executed, so that there is no data, not even null
		told = struct {
			Errors gqlerror.List `json:"errors"`
		}{answer.Errors}
	}
	body, err := json.Marshal(told)
	if err != nil {
		panic(err) // the data is JSON already, the errors are strings
	}
	w.Header()["Content-Type"] = jsonType
	if one {
		w.Header().Set("Content-Type", graphOneType)
	}
	w.WriteHeader(status)
	w.Write(body)
	return status
}

// document reads one and checks it. That has a room of its own: what is wanted decides
// whose place it then takes, that of a command or that of a question.
func (s *Server) document(ctx context.Context, w http.ResponseWriter, r *http.Request) (*graphql.OperationContext, gqlerror.List, *Problem) {
	if !s.documents.enter() {
		return nil, nil, s.documents.full()
	}
	defer s.documents.leave()
	m := s.borrow()
	params, refused := s.graphParams(w, m, r)
	s.giveBack(m)
	if refused != nil {
		return nil, nil, refused
	}
	op, faults := s.graph.CreateOperationContext(ctx, params)
	return op, faults, nil
}

// graphParams reads a request, in the body or in the URL.
func (s *Server) graphParams(w http.ResponseWriter, m *scratch, r *http.Request) (*graphql.RawParams, *Problem) {
	in := struct {
		Query         string          `json:"query"`
		OperationName string          `json:"operationName"`
		Variables     json.RawMessage `json:"variables"`
	}{}
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		in.Query, in.OperationName, in.Variables = q.Get("query"), q.Get("operationName"), json.RawMessage(q.Get("variables"))
	} else {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return nil, refuse(CodeUnsupportedMedia, "the Content-Type is "+quote(r.Header.Get("Content-Type")))
		}
		if refused := s.read(w, m, r, maxGraph); refused != nil {
			return nil, refused
		}
		if err := json.Unmarshal(m.body, &in); err != nil {
			if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				return nil, refuse(CodeInvalidType, "one request is an object with query, operationName and variables, not "+shorten(wrong.Value))
			}
			return nil, refuse(CodeMalformedJSON, err.Error())
		}
	}
	if in.Query == "" {
		return nil, refuse(CodeMissingField, "query missing")
	}
	out := &graphql.RawParams{Query: in.Query, OperationName: in.OperationName}
	if len(in.Variables) > 0 {
		d := json.NewDecoder(strings.NewReader(string(in.Variables)))
		d.UseNumber() // as gqlgen reads them
		if err := d.Decode(&out.Variables); err != nil {
			return nil, refuse(CodeInvalidType, "variables must be an object: "+shorten(err.Error()))
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, refuse(CodeMalformedJSON, "something follows the variables")
		}
	}
	return out, nil
}
