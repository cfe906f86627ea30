package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// requester is a client of REST and GraphQL: HTTP/1.1 on one connection that is
// kept open.
type requester struct {
	link
	spec     *Spec
	index, n int
	prefix   string // of the ids of its commands, like no other run's
	readings *readings
	build    func(c *requester, now time.Time)
	head     []byte // of a POST, up to the length
	out      []byte
	body     []byte // of the request
	answer   []byte
}

func newRequester(s *Spec, index int, rng *rand.Rand) *requester {
	c := &requester{spec: s, index: index}
	path := "/api/v1/device/data/sync"
	switch s.API {
	case RESTSync:
		c.build, c.readings = (*requester).sync, newReadings(s, index, rng)
		if s.Path != "" {
			path = s.Path
		}
	case RESTRead:
		c.build = (*requester).read
	case RESTControl:
		c.build, path = (*requester).control, "/api/v1/device/control"
	case GraphQL:
		c.build, path = (*requester).query, "/graphql"
	}
	c.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: ", path, s.Address, s.Token)
	return c
}

func (c *requester) connect(ctx context.Context) error {
	return c.open(ctx, &c.spec.Target, c.spec.Address, c.spec.TLS)
}

// restEvery is 0: HTTP keeps no connection alive by words, and a server that has
// closed an unused one is dialled again.
func (c *requester) restEvery() time.Duration { return 0 }

func (c *requester) rest(time.Time) error { return nil }

func (c *requester) acknowledged(into map[string][]int64) {
	if c.readings != nil {
		c.readings.acknowledged(into)
	}
}

func (c *requester) exchange(now, deadline time.Time) (items int, code string, err error) {
	c.out = c.out[:0]
	c.build(c, now)
	if err := c.until(deadline); err != nil {
		return 0, "", err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, "", err
	}
	var status int
	if status, c.answer, err = readAnswer(c.in, c.answer); err != nil {
		return 0, "", err
	}
	if code = c.refused(status); code == "" && c.readings != nil {
		items = c.readings.taken()
	}
	return items, code, nil
}

// refused is the status and the code of an answer that is not a good one, or "".
func (c *requester) refused(status int) string {
	if status < 200 || status > 299 {
		if code := member(c.answer, "code"); code != "" {
			return strconv.Itoa(status) + " " + code
		}
		return strconv.Itoa(status)
	}
	switch {
	case c.spec.API == RESTSync && c.spec.Batch > 1 && c.spec.Form == nil:
		if code := member(c.answer, "code"); code != "SUCCESS" { // which of them were taken does not matter: one was not
			return strconv.Itoa(status) + " " + code
		}
	case c.spec.API == GraphQL && bytes.Contains(c.answer, []byte(`"errors"`)):
		if code := member(c.answer, "code"); code != "" {
			return "errors " + code
		}
		return "errors"
	case c.spec.API == GraphQL && c.spec.Query == "" && bytes.Contains(c.answer, []byte(`"device":null`)):
		return "no such device"
	}
	return ""
}

func (c *requester) post() {
	c.out = append(c.out, c.head...)
	c.out = strconv.AppendInt(c.out, int64(len(c.body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, c.body...)
}

func (c *requester) sync(now time.Time) {
	c.body = c.readings.append(c.body[:0], now)
	c.post()
}

// asked is the device whose turn it is.
func (c *requester) asked() string {
	c.n++
	return c.spec.Asked[(c.index+c.n)%len(c.spec.Asked)]
}

func (c *requester) read(time.Time) {
	b := append(c.out, "GET /api/v1/devices/"...)
	b = append(b, c.asked()...)
	b = append(b, "/latest HTTP/1.1\r\nHost: "...)
	b = append(b, c.spec.Address...)
	b = append(b, "\r\nAuthorization: Bearer "...)
	b = append(b, c.spec.Token...)
	c.out = append(b, "\r\n\r\n"...)
}

func (c *requester) control(now time.Time) {
	device := c.asked()
	if c.prefix == "" {
		c.prefix = fmt.Sprintf("load-%s-%x-%d-", c.spec.Name, now.UnixNano(), c.index)
	}
	c.body = fmt.Appendf(c.body[:0], `{"deviceId":%q,"commandId":"%s%d","command":"setPower","parameters":{"power":%.1f,"duration":30},"timestamp":%d}`,
		device, c.prefix, c.n, 20*math.Sin(float64(c.n)), now.UnixMilli())
	c.post()
}

func (c *requester) query(time.Time) {
	query := c.spec.Query
	if query == "" {
		query = DefaultQuery
	}
	c.body = append(c.body[:0], `{"query":`...)
	quoted, err := json.Marshal(query)
	if err != nil {
		panic(err) // every string has a form in JSON
	}
	c.body = append(c.body, quoted...)
	c.body = append(c.body, `,"variables":{"id":"`...)
	c.body = append(c.body, c.asked()...)
	c.body = append(c.body, `"}}`...)
	c.post()
}

// DefaultQuery asks for a device with its newest reading.
const DefaultQuery = `query($id: ID!) { device(id: $id) { id state online latest { timestamp soc power status quality } } }`
