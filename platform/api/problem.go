package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// Code is the stable name of a refusal. docs/api.md explains each.
type Code string

// The codes. Those of refused commands come from the plant beside these.
const (
	CodeMalformedJSON    Code = "MALFORMED_JSON"
	CodeInvalidType      Code = "INVALID_TYPE"
	CodeMissingField     Code = "MISSING_FIELD"
	CodeDuplicateField   Code = "DUPLICATE_FIELD"
	CodeUnknownField     Code = "UNKNOWN_FIELD"
	CodeInvalidNumber    Code = "INVALID_NUMBER"
	CodeInvalidDeviceID  Code = "INVALID_DEVICE_ID"
	CodeInvalidTimestamp Code = "INVALID_TIMESTAMP"
	CodeFutureTimestamp  Code = "FUTURE_TIMESTAMP"
	CodeInvalidStatus    Code = "INVALID_STATUS"
	CodeInvalidCommand   Code = "INVALID_COMMAND"
	CodeInvalidCommandID Code = "INVALID_COMMAND_ID"
	CodeInvalidParameter Code = "INVALID_PARAMETER"
	CodeInvalidRequest   Code = "INVALID_REQUEST"
	CodeNotAvailable     Code = "NOT_AVAILABLE"
	CodeMalformedQuery   Code = "MALFORMED_QUERY"
	CodeInvalidQuery     Code = "INVALID_QUERY"
	CodeQueryLimit       Code = "QUERY_LIMIT"
	CodeAllRejected      Code = "ALL_REJECTED"
	CodeTooLarge         Code = "TOO_LARGE"
	CodeUnsupportedMedia Code = "UNSUPPORTED_MEDIA_TYPE"

	CodeUnauthorized    Code = "UNAUTHORIZED"
	CodeCredentials     Code = "WRONG_CREDENTIALS"
	CodeRefreshToken    Code = "WRONG_REFRESH_TOKEN"
	CodeSetupToken      Code = "WRONG_SETUP_TOKEN"
	CodeForbidden       Code = "FORBIDDEN"
	CodeForbiddenDevice Code = "FORBIDDEN_DEVICE"
	CodeCrossOrigin     Code = "CROSS_ORIGIN"

	CodeNotFound         Code = "NOT_FOUND"
	CodeUnknownDevice    Code = "UNKNOWN_DEVICE"
	CodeReadByUs         Code = "READ_BY_DRIVER"
	CodeNoReading        Code = "NO_READING"
	CodeMethodNotAllowed Code = "METHOD_NOT_ALLOWED"
	CodeNotAcceptable    Code = "NOT_ACCEPTABLE"

	CodeSetupDone     Code = "SETUP_DONE"
	CodeLastAdmin     Code = "LAST_ADMIN"
	CodeOffline       Code = "OFFLINE"
	CodeUnsupported   Code = "UNSUPPORTED"
	CodeRejected      Code = "REJECTED"
	CodeExpired       Code = "EXPIRED"
	CodeFailed        Code = "FAILED"
	CodeCommandIDUsed Code = "COMMAND_ID_USED"
	CodeLimit         Code = "LIMIT_WIDENED"

	CodeOverload        Code = "OVERLOAD"
	CodeTooManyAttempts Code = "TOO_MANY_ATTEMPTS"
	CodeRateLimited     Code = "RATE_LIMITED"
	CodeNotReady        Code = "NOT_READY"
	CodeClosing         Code = "CLOSING"
	CodeHistoryAway     Code = "HISTORY_AWAY"
	CodeNoSpace         Code = "INSUFFICIENT_STORAGE"
	CodeInternal        Code = "INTERNAL"
)

// catalogue has the HTTP status and the hint of each code.
var catalogue = map[Code]struct {
	status int
	hint   string
}{
	CodeMalformedJSON:    {400, "send one JSON value in UTF-8, without anything before or after it"},
	CodeInvalidType:      {400, "compare the types of the fields with /openapi.json"},
	CodeMissingField:     {400, "deviceId, timestamp and, in data, soc, voltage, current, power, temperature and status are required"},
	CodeDuplicateField:   {400, "send each field once"},
	CodeUnknownField:     {400, "compare the names of the fields with /openapi.json; case matters"},
	CodeInvalidNumber:    {400, "numbers must fit into a double"},
	CodeInvalidDeviceID:  {400, "a device id has 1 to 64 of the characters A-Z a-z 0-9 _ -"},
	CodeInvalidTimestamp: {400, "send whole milliseconds since 1970 UTC, as a number"},
	CodeFutureTimestamp:  {400, "set the clock of the device; up to 5 minutes ahead are accepted"},
	CodeInvalidStatus:    {400, "a status word has at most 64 bytes"},
	CodeInvalidCommand:   {400, "the commands are setPower, setMode, stop and release"},
	CodeInvalidCommandID: {400, "a commandId has 1 to 128 printable characters"},
	CodeInvalidParameter: {400, "compare the parameters with /openapi.json"},
	CodeInvalidRequest:   {400, "compare the request with /openapi.json"},
	CodeNotAvailable:     {400, "leave the option out"},
	CodeMalformedQuery:   {400, "send a GraphQL document; locations says where it ends to be one"},
	CodeInvalidQuery:     {400, "compare the query with the schema, which introspection shows"},
	CodeQueryLimit:       {400, "ask for less at once: fewer fields, aliases and levels, smaller first and limit"},
	CodeAllRejected:      {422, "rejected lists the reason for each reading"},
	CodeTooLarge:         {413, "send smaller batches: up to 1 MB, arrays up to 10,000 readings and 8 MB"},
	CodeUnsupportedMedia: {415, "send Content-Type: application/json"},

	CodeUnauthorized:    {401, "send Authorization: Bearer <token> with a token that has not expired"},
	CodeCredentials:     {401, "check user and password; several failures slow down further attempts"},
	CodeRefreshToken:    {401, "log in again; each refresh token is good once"},
	CodeSetupToken:      {403, "use the setup token that the last start printed; it is good for an hour"},
	CodeForbidden:       {403, "ask an administrator for a token with another role"},
	CodeForbiddenDevice: {403, "a device token speaks only for its own device"},
	CodeCrossOrigin:     {403, "browsers may send this from the portal's own pages only"},

	CodeNotFound:         {404, "/openapi.json lists all routes"},
	CodeReadByUs:         {409, "a device that the plant reads by itself cannot also be synced; use another deviceId"},
	CodeUnknownDevice:    {404, "register it with PUT /api/v1/devices/{id}, or sync its first reading with an engineer's token"},
	CodeNoReading:        {404, "the device has not reported yet"},
	CodeMethodNotAllowed: {405, "the Allow header lists the methods of this route"},
	CodeNotAcceptable:    {406, "accept application/json"},

	CodeSetupDone:     {409, "log in with POST /api/v1/login"},
	CodeLastAdmin:     {409, "make somebody else an administrator first"},
	CodeOffline:       {409, "the device is not connected; try again when it is"},
	CodeUnsupported:   {409, "the device has no such command"},
	CodeRejected:      {409, ""},
	CodeExpired:       {409, "send a new command"},
	CodeFailed:        {409, "nobody knows whether the device took it; read its power before trying again"},
	CodeCommandIDUsed: {409, "send a commandId that was not used before"},
	CodeLimit:         {409, "limits can be made tighter here; what the configuration allows at most is changed in its file"},

	CodeOverload:        {429, "wait for the time in Retry-After; many readings in one array cost less than many requests"},
	CodeTooManyAttempts: {429, "wait for the time in Retry-After"},
	CodeRateLimited:     {429, "wait for the time in Retry-After, or ask for more at once"},
	CodeNotReady:        {503, "the plant is starting; /healthz answers 200 when it is ready"},
	CodeClosing:         {503, "the plant is stopping; send again when it is back"},
	CodeHistoryAway:     {503, "readings are taken and kept meanwhile; ask again later, /api/v1/system tells how the history stands"},
	CodeNoSpace:         {507, "the disk of the plant is nearly full; keep the readings and send them again later"},
	CodeInternal:        {500, "report the request id to whoever runs the plant"},
}

// Codes lists all codes of this package in alphabetical order.
func Codes() []Code {
	list := make([]Code, 0, len(catalogue))
	for c := range catalogue {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}

// Problem is an answer of the form application/problem+json (RFC 9457).
type Problem struct {
	Title     string      `json:"title" doc:"the HTTP status in words"`
	Status    int         `json:"status" doc:"the HTTP status"`
	Code      Code        `json:"code" doc:"stable name of the refusal"`
	Detail    string      `json:"detail,omitempty" doc:"what is wrong in this request"`
	Reason    string      `json:"reason,omitempty" doc:"why a command was refused"`
	Hint      string      `json:"hint,omitempty" doc:"what to do about it"`
	RequestID string      `json:"requestId,omitempty" doc:"also in the header X-Request-Id"`
	Accepted  *int        `json:"accepted,omitempty" doc:"of an array of readings: how many were stored"`
	Rejected  []Rejection `json:"rejected,omitempty" doc:"of an array of readings: which were not stored"`
	More      int         `json:"more,omitempty" doc:"how many others of them were not stored; over the WebSocket"`

	retry int // s; 0: no Retry-After
	allow string
}

// Rejection is one reading of an array that was not stored.
type Rejection struct {
	Index  int    `json:"index" doc:"position in the array, from 0"`
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

func refuse(c Code, detail string) *Problem {
	entry := catalogue[c]
	p := &Problem{Title: http.StatusText(entry.status), Status: entry.status, Code: c, Detail: detail, Hint: entry.hint}
	if entry.status == http.StatusTooManyRequests || entry.status == http.StatusServiceUnavailable || entry.status == http.StatusInsufficientStorage {
		p.retry = 1
	}
	return p
}

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus is asked by huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is asked by huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) headers(set func(name, value string)) {
	if p.retry > 0 {
		set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.allow != "" {
		set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		set("WWW-Authenticate", `Bearer realm="yunchu"`)
	}
}

// write answers with p and returns its status.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) int {
	h := w.Header()
	p.RequestID = requestID(h, r)
	h["Content-Type"] = problemType
	p.headers(h.Set)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a Problem is made of strings and numbers
	}
	w.WriteHeader(p.Status)
	w.Write(body)
	return p.Status
}

// text is p for whom no headers reach.
func (p *Problem) text() []byte {
	body, err := json.Marshal(struct {
		*Problem
		RetryAfter int `json:"retryAfter,omitempty"` // s
	}{p, p.retry})
	if err != nil {
		panic(err) // a Problem is made of strings and numbers
	}
	return body
}

// statusCodes is for refusals that huma makes by itself.
var statusCodes = map[int]Code{
	400: CodeInvalidRequest, 404: CodeNotFound, 406: CodeNotAcceptable, 408: CodeInvalidRequest,
	413: CodeTooLarge, 415: CodeUnsupportedMedia, 422: CodeInvalidRequest,
}

// newError replaces huma's own form of errors. Faults of a request are named,
// those of ours are not shown.
func newError(status int, msg string, faults ...error) huma.StatusError {
	c, known := statusCodes[status]
	if !known {
		return refuse(CodeInternal, "")
	}
	var detail strings.Builder
	detail.WriteString(msg)
	for i, f := range faults {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		if where, ok := errors.AsType[*huma.ErrorDetail](f); ok {
			// The value is left out: it may be a password.
			detail.WriteString(sep + where.Location + ": " + where.Message)
		} else if f != nil {
			detail.WriteString(sep + f.Error())
		}
	}
	return refuse(c, detail.String())
}

func init() { huma.NewError = newError } // huma has one form of errors for a program

// problemOf is what an error of the plant or of auth is to the sender. Errors
// that nobody foresaw are logged and not shown.
func (s *Server) problemOf(ctx context.Context, err error) *Problem {
	var (
		p    *Problem
		many *auth.TooManyError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &many):
		p = refuse(CodeTooManyAttempts, many.Error())
		p.retry = max(1, int(math.Ceil(many.Wait.Seconds())))
		return p
	case errors.Is(err, bus.ErrOverload), errors.Is(err, auth.ErrBusy):
		s.metrics.shed.overload.Inc()
		return refuse(CodeOverload, err.Error())
	case errors.Is(err, bus.ErrNoSpace):
		s.metrics.shed.space.Inc()
		return refuse(CodeNoSpace, err.Error())
	case errors.Is(err, bus.ErrClosed):
		return refuse(CodeClosing, "the log is closed")
	case errors.Is(err, auth.ErrCredentials):
		return refuse(CodeCredentials, err.Error())
	case errors.Is(err, auth.ErrRefresh):
		return refuse(CodeRefreshToken, err.Error())
	case errors.Is(err, auth.ErrSetup):
		return refuse(CodeSetupToken, err.Error())
	case errors.Is(err, auth.ErrSetupDone):
		return refuse(CodeSetupDone, err.Error())
	case errors.Is(err, auth.ErrLastAdmin):
		return refuse(CodeLastAdmin, err.Error())
	case errors.Is(err, auth.ErrNotFound):
		return refuse(CodeNotFound, err.Error())
	case errors.Is(err, auth.ErrInvalid), errors.Is(err, ErrInvalid):
		return refuse(CodeInvalidRequest, err.Error())
	case errors.Is(err, series.ErrAway):
		s.log.WarnContext(ctx, "the history does not answer", "error", err)
		return refuse(CodeHistoryAway, "the store of readings does not answer")
	case errors.Is(err, ErrNotAvailable):
		return refuse(CodeNotAvailable, err.Error())
	case errors.Is(err, device.ErrOffline):
		return refuse(CodeOffline, err.Error())
	case errors.Is(err, device.ErrUnsupported):
		return refuse(CodeUnsupported, err.Error())
	case errors.Is(err, device.ErrRejected):
		return refuse(CodeRejected, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(CodeClosing, "the request ended before its answer")
	}
	s.log.ErrorContext(ctx, "request failed", "error", err)
	return refuse(CodeInternal, "")
}

// ackProblem is a refused command.
func ackProblem(a device.Ack) *Problem {
	fallback := CodeRejected
	switch a.Status {
	case device.Expired:
		fallback = CodeExpired
	case device.Failure:
		fallback = CodeFailed
	}
	c := cmp.Or(Code(a.Code), fallback)
	p := refuse(fallback, a.Reason)
	p.Code, p.Reason = c, a.Reason
	if own, known := catalogue[c]; known {
		p.Hint = own.hint
	}
	p.Detail = "the command was " + a.Status.String()
	if a.Reason != "" {
		p.Detail += ": " + a.Reason
	}
	return p
}
