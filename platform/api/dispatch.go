package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

type settingsInput struct{ Body Settings }

type settingsOutput struct{ Body Settings }

func (s *Server) dispatchRoutes() {
	guarded(s, auth.Read, huma.Operation{
		OperationID: "get-dispatch", Method: http.MethodGet, Path: "/api/v1/dispatch", Tags: []string{"dispatch"},
		Summary: "What dispatch is set to",
	}, func(ctx context.Context, _ *struct{}) (*settingsOutput, error) {
		if !callerOf(ctx).MayWhole(auth.Read) {
			return nil, refuse(CodeForbidden, "a device token sees nothing but its device")
		}
		return &settingsOutput{s.plant.settings()}, nil
	})
	guarded(s, auth.Dispatch, huma.Operation{
		OperationID: "put-dispatch", Method: http.MethodPut, Path: "/api/v1/dispatch", Tags: []string{"dispatch"},
		Summary: "Set the target of the fleet, or a schedule",
	}, func(ctx context.Context, in *settingsInput) (*settingsOutput, error) {
		if err := s.setDispatch(ctx, in.Body); err != nil {
			return nil, err
		}
		return &settingsOutput{s.plant.settings()}, nil
	})
}

// setDispatch sets what the caller asks for.
func (s *Server) setDispatch(ctx context.Context, set Settings) error {
	for i := 1; i < len(set.Schedule); i++ {
		if !set.Schedule[i].At.After(set.Schedule[i-1].At) {
			return refuse(CodeInvalidRequest, "the steps of the schedule must ascend in time")
		}
	}
	if set.Strategy == "" {
		if set.Enabled {
			return refuse(CodeInvalidRequest, "dispatch that is enabled needs a strategy: proportional, soc-balancing, cost or time-to-go")
		}
		set.Strategy = s.plant.settings().Strategy
	}
	by := callerOf(ctx).Name
	if err := s.plant.Dispatch.Apply(ctx, by, set); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "dispatch set", "enabled", set.Enabled, "strategy", set.Strategy, "steps", len(set.Schedule), "by", by)
	return nil
}

// settings are what dispatch is set to, in a form that JSON can hold: a target
// that is not a number is none.
func (p *Plant) settings() Settings {
	s := p.Dispatch.Settings()
	if s.TargetKW != nil && !device.Finite(*s.TargetKW) {
		s.TargetKW = nil
	}
	return s
}
