package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/api/graph"
	"yunchu/platform/device"
)

// Control takes the way of POST /device/control: the input is read by the decoder of
// that body, so that the same is accepted, and refused with the same codes.
func (r mutations) Control(ctx context.Context, in graph.ControlInput) (graph.ControlOutcome, error) {
	body := map[string]any{"deviceId": in.DeviceID, "commandId": in.CommandID, "command": in.Command.String()}
	if in.Timestamp != nil {
		body["timestamp"] = *in.Timestamp
	}
	if p := in.Parameters; p != nil {
		parameters := map[string]any{}
		if p.Power != nil {
			parameters["power"] = *p.Power
		}
		if p.Duration != nil {
			parameters["duration"] = *p.Duration
		}
		if p.Priority != nil {
			parameters["priority"] = p.Priority.String()
		}
		if p.Mode != nil {
			parameters["mode"] = p.Mode.String()
		}
		body["parameters"] = parameters
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write a command: %w", err)
	}
	var (
		d decoder
		o order
	)
	d.reset(text)
	if refused := d.order(&o); refused != nil {
		return nil, refused
	}
	ack, open, refused := r.s.command(ctx, callerOf(ctx).Principal, o.id, o.command)
	switch {
	case refused != nil && refused.Status == http.StatusConflict:
		reason := cmp.Or(refused.Reason, refused.Detail)
		return graph.CommandRefused{DeviceID: o.id, CommandID: o.command.ID, Code: string(refused.Code), Reason: &reason, Hint: &refused.Hint}, nil
	case refused != nil:
		return nil, refused
	case open:
		return graph.CommandOpen{DeviceID: o.id, CommandID: o.command.ID}, nil
	}
	done := graph.CommandDone{DeviceID: o.id, CommandID: o.command.ID, Reduced: ack.Reduced}
	if o.command.Verb == device.SetPower && device.Finite(ack.Power) {
		done.Power = &ack.Power
	}
	if ack.Reason != "" {
		done.Reason = &ack.Reason
	}
	return done, nil
}

// RegisterDevice takes the way of PUT /devices/{id}.
func (r mutations) RegisterDevice(ctx context.Context, id device.ID, in graph.DeviceInput) (*graph.Device, error) {
	put := &registerInput{DevicePath: DevicePath{string(id)}}
	if err := asBody(in, &put.Body); err != nil {
		return nil, err
	}
	out, err := r.s.register(ctx, put)
	if err != nil {
		return nil, err
	}
	return &graph.Device{Info: out.Body, Newest: r.s.plant.Latest}, nil
}

// SetDispatch takes the way of PUT /dispatch.
func (r mutations) SetDispatch(ctx context.Context, in graph.DispatchInput) (*graph.Dispatch, error) {
	set := Settings{Enabled: in.Enabled, TargetKW: in.TargetKw, Sites: r.s.plant.settings().Sites}
	if in.Strategy != nil {
		set.Strategy = *in.Strategy
	}
	for _, step := range in.Schedule {
		set.Schedule = append(set.Schedule, Step{At: step.At, TargetKW: step.TargetKw})
	}
	var checked Settings
	if err := asBody(set, &checked); err != nil {
		return nil, err
	}
	if err := r.s.setDispatch(ctx, set); err != nil {
		return nil, err
	}
	return dispatchOf(r.s.plant.settings()), nil
}

// asBody reads what in is in JSON into a body of the REST interface, and holds it to
// that body's bounds.
func asBody(in, body any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write an input: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("read an input: %w", err)
	}
	if faults := huma.NewModelValidator().Validate(reflect.TypeOf(body).Elem(), fields); len(faults) > 0 {
		detail := faults[0].Error()
		if where, ok := errors.AsType[*huma.ErrorDetail](faults[0]); ok {
			detail = where.Location + ": " + where.Message
		}
		return refuse(CodeInvalidParameter, detail)
	}
	return json.Unmarshal(text, body)
}
