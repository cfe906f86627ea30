package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
)

// The types below document bodies that are read and written by hand.

// Values are a reading's values. Null is a number that is not known.
type valuesDoc struct {
	SoC         *float64 `json:"soc" doc:"percent" example:"75.5"`
	Voltage     *float64 `json:"voltage" doc:"V, DC" example:"382.4"`
	Current     *float64 `json:"current" doc:"A, DC, + charges" example:"125.6"`
	Power       *float64 `json:"power" doc:"kW, AC, + charges" example:"48.1"`
	Temperature *float64 `json:"temperature" doc:"°C, hottest cell" example:"25.3"`
	Status      string   `json:"status" doc:"charging, discharging, idle, standby, fault, offline, maintenance; another word is kept and flagged" example:"charging"`
	SoH         *float64 `json:"soh,omitempty" doc:"percent"`
	Frequency   *float64 `json:"frequency,omitempty" doc:"Hz, of the grid; of the latest reading, the history has none"`
}

type readingDoc struct {
	DeviceID  string    `json:"deviceId"`
	Timestamp int64     `json:"timestamp" doc:"ms since 1970 UTC, when it was measured"`
	Data      valuesDoc `json:"data"`
	Quality   string    `json:"quality" enum:"good,suspect,bad"`
	Flags     []string  `json:"flags" enum:"range,logic,order,sign,gap,frozen,revised,simulated,filled,outlier,conflict"`
	cleanedDoc
}

// cleanedDoc is what cleaned values have beside those of a reading.
type cleanedDoc struct {
	Raw      *valuesDoc `json:"raw,omitempty" doc:"values=clean: as received; null for a row that fills a gap"`
	Filled   []string   `json:"filled,omitempty" doc:"values=clean: quantities that were filled in"`
	Outlier  []string   `json:"outlier,omitempty" doc:"values=clean: quantities whose value stood apart and was left out"`
	Smoothed []string   `json:"smoothed,omitempty" doc:"values=clean: quantities that the noise filter changed"`
	Doubtful []string   `json:"doubtful,omitempty" doc:"values=clean: quantities that contradict others"`
}

type historyDoc struct {
	Items []struct {
		Timestamp int64     `json:"timestamp"`
		Data      valuesDoc `json:"data" doc:"fields that were not asked for are absent"`
		Quality   string    `json:"quality,omitempty" enum:"good,suspect,bad" doc:"values=clean"`
		Flags     []string  `json:"flags,omitempty" doc:"values=clean"`
		cleanedDoc
	} `json:"items"`
	Next string   `json:"next" doc:"cursor of what follows, empty at the end"`
	Gaps []gapDoc `json:"gaps,omitempty" doc:"where readings are known to be missing"`
}

type syncDoc struct {
	DeviceID  string `json:"deviceId" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"HT_ESS_001"`
	Timestamp int64  `json:"timestamp" minimum:"0" doc:"ms since 1970 UTC, at most 5 minutes ahead" example:"1703123456789"`
	Data      struct {
		SoC         float64  `json:"soc" doc:"percent" example:"75.5"`
		Voltage     float64  `json:"voltage" doc:"V, DC" example:"382.4"`
		Current     float64  `json:"current" doc:"A, DC, + charges" example:"125.6"`
		Power       float64  `json:"power" doc:"kW, AC, + charges" example:"48.1"`
		Temperature float64  `json:"temperature" doc:"°C, hottest cell" example:"25.3"`
		Status      string   `json:"status" maxLength:"64" example:"charging"`
		SoH         *float64 `json:"soh,omitempty" doc:"percent"`
		Frequency   *float64 `json:"frequency,omitempty" doc:"Hz, of the grid; a droop of dispatch can go by it"`
	} `json:"data"`
}

type syncAnswerDoc struct {
	Code     string      `json:"code" enum:"SUCCESS,PARTIAL"`
	Accepted *int        `json:"accepted,omitempty" doc:"of an array"`
	Rejected []Rejection `json:"rejected,omitempty" doc:"of an array"`
}

type controlDoc struct {
	DeviceID   string `json:"deviceId" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"HT_ESS_001"`
	CommandID  string `json:"commandId" minLength:"1" maxLength:"128" doc:"takes effect once for a device; anything else under it is refused with COMMAND_ID_USED" example:"CMD_20231201_001"`
	Command    string `json:"command" enum:"setPower,setMode,stop,release"`
	Parameters *struct {
		Power    *float64 `json:"power,omitempty" doc:"of setPower: kW, + charges" example:"50"`
		Duration *float64 `json:"duration,omitempty" exclusiveMinimum:"0" maximum:"604800" default:"60" doc:"s from acceptance"`
		Priority string   `json:"priority,omitempty" enum:"low,dispatch,normal,high,safety" default:"normal" doc:"safety is for administrators"`
		Mode     string   `json:"mode,omitempty" enum:"run,standby,maintenance" doc:"of setMode"`
	} `json:"parameters,omitempty"`
	Timestamp *int64 `json:"timestamp,omitempty" minimum:"0" doc:"ms since 1970 UTC; more than 60 s old or 5 s ahead is refused" example:"1703123456789"`
}

type controlAnswerDoc struct {
	Code    string   `json:"code" enum:"SUCCESS,ACCEPTED"`
	Reduced *bool    `json:"reduced,omitempty" doc:"whether less power was set than asked for"`
	Power   *float64 `json:"power,omitempty" doc:"kW that were set, when reduced"`
	Reason  string   `json:"reason,omitempty" doc:"when reduced"`
}

type subscribeDoc struct {
	Subscribe struct {
		Devices string   `json:"devices,omitempty" default:"*" doc:"glob of device ids"`
		Sites   []string `json:"sites,omitempty" doc:"names of locations; left out: any"`
		Kinds   []string `json:"kinds,omitempty" doc:"kinds of devices; left out: any"`
		Types   []string `json:"types,omitempty" enum:"snapshot,reading,readings,ack,event,alarm,state,score"`
	} `json:"subscribe"`
}

type wsSyncDoc struct {
	Sync any `json:"sync" doc:"one reading, or an array of them, as in a sync"`
	ID   any `json:"id,omitempty" doc:"a string or a number, which the answer repeats"`
}

type frameDoc struct {
	Type     string `json:"type" enum:"snapshot,reading,readings,ack,event,alarm,state,score,sync,error"`
	ID       any    `json:"id,omitempty" doc:"of a sync: that of the message"`
	DeviceID string `json:"deviceId,omitempty"`
	Lag      *int   `json:"lag,omitempty" doc:"readings that this client missed so far, when that has grown"`
	Data     any    `json:"data"`
}

func (s *Server) schema(v any) *huma.Schema {
	return s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v).Elem(), true, "")
}

func jsonOf(schema *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

// answers documents what a route answers.
func (s *Server) answers(ok any) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: jsonOf(s.schema(ok))}, "default": s.problemDoc("Error")}
}

func (s *Server) problemDoc(text string) *huma.Response {
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: s.schema(&Problem{})},
	}}
}

type queryDoc struct {
	Query         string         `json:"query" doc:"a document of GraphQL" example:"{ devices { items { id latest { soc power } } } }"`
	OperationName string         `json:"operationName,omitempty"`
	Variables     map[string]any `json:"variables,omitempty"`
}

type queryAnswerDoc struct {
	Data   any             `json:"data,omitempty"`
	Errors []queryFaultDoc `json:"errors,omitempty"`
}

type queryFaultDoc struct {
	Message    string `json:"message"`
	Path       []any  `json:"path,omitempty"`
	Extensions struct {
		Code string `json:"code" doc:"as of Problem"`
		Hint string `json:"hint,omitempty"`
	} `json:"extensions"`
}

// describe documents the routes that huma does not serve.
func (s *Server) describe() {
	one := s.schema(&syncDoc{})
	sync := &huma.Operation{
		OperationID: "sync", Method: http.MethodPost, Path: syncPath, Tags: []string{"readings"},
		Summary:     "Send a reading, or an array of up to 10,000",
		Description: "Answered when the readings are durable. Fields that are not known are passed over.",
		RequestBody: &huma.RequestBody{Required: true, Content: jsonOf(&huma.Schema{
			OneOf: []*huma.Schema{one, {Type: "array", Items: one}},
		})},
		Responses: s.answers(&syncAnswerDoc{}),
	}
	sync.Responses["422"] = s.problemDoc("All readings of an array are rejected")
	sync.Responses["429"] = s.problemDoc("Overload; see Retry-After")
	s.guard(sync, auth.Ingest)

	control := &huma.Operation{
		OperationID: "control", Method: http.MethodPost, Path: controlPath, Tags: []string{"devices"},
		Summary:     "Command a device",
		Description: "Answered 200 after the device's acknowledgement, 202 when that takes longer than a second.",
		RequestBody: &huma.RequestBody{Required: true, Content: jsonOf(s.schema(&controlDoc{}))},
		Responses:   s.answers(&controlAnswerDoc{}),
	}
	control.Responses["202"] = &huma.Response{Description: "The command is open", Content: jsonOf(s.schema(&controlAnswerDoc{}))}
	control.Responses["409"] = s.problemDoc("The command is refused; code and reason say why")
	s.guard(control, auth.Control)

	ws := &huma.Operation{
		OperationID: "live", Method: http.MethodGet, Path: wsPath, Tags: []string{"readings"},
		Summary: "Live frames over a WebSocket",
		Description: "The token is in the Authorization header or in the subprotocol bearer.<token>, percent-encoded. " +
			"The client sends a Subscribe message; the frames have the form of Frame. docs/api.md has both in full.",
		Responses: map[string]*huma.Response{
			"101":     {Description: "Frames follow", Content: jsonOf(&huma.Schema{OneOf: []*huma.Schema{s.schema(&frameDoc{}), s.schema(&subscribeDoc{}), s.schema(&wsSyncDoc{})}})},
			"default": s.problemDoc("Error"),
		},
	}
	s.guard(ws, auth.Read)
	query := &huma.Operation{
		OperationID: "graphql", Method: http.MethodPost, Path: graphPath, Tags: []string{"graphql"},
		Summary:     "Queries and mutations of GraphQL",
		Description: "Each root field has its own action; introspection shows the schema. Subscriptions come over a WebSocket on the same path.",
		RequestBody: &huma.RequestBody{Required: true, Content: jsonOf(s.schema(&queryDoc{}))},
		Responses:   s.answers(&queryAnswerDoc{}),
	}
	s.guard(query, auth.Read)
	get := &huma.Operation{
		OperationID: "graphql-get", Method: http.MethodGet, Path: graphPath, Tags: []string{"graphql"},
		Summary: "A query of GraphQL; with an upgrade to a WebSocket, the protocol graphql-transport-ws",
		Parameters: []*huma.Param{
			{Name: "query", In: "query", Required: true, Schema: &huma.Schema{Type: "string"}},
			{Name: "operationName", In: "query", Schema: &huma.Schema{Type: "string"}},
			{Name: "variables", In: "query", Schema: &huma.Schema{Type: "string"}, Description: "an object of JSON"},
		},
		Responses: s.answers(&queryAnswerDoc{}),
	}
	s.guard(get, auth.Read)
	for _, op := range []*huma.Operation{sync, control, ws, query, get} {
		s.huma.OpenAPI().AddOperation(op)
	}
}
