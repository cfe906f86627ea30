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
		if callerOf(ctx).Device != "" {
			return nil, refuse(CodeForbidden, "a device token sees nothing but its device")
		}
		return &settingsOutput{s.plant.settings()}, nil
	})
	guarded(s, auth.Dispatch, huma.Operation{
		OperationID: "put-dispatch", Method: http.MethodPut, Path: "/api/v1/dispatch", Tags: []string{"dispatch"},
		Summary: "Set the target of the fleet, or a schedule",
	}, func(ctx context.Context, in *settingsInput) (*settingsOutput, error) {
		for i := 1; i < len(in.Body.Schedule); i++ {
			if !in.Body.Schedule[i].At.After(in.Body.Schedule[i-1].At) {
				return nil, refuse(CodeInvalidRequest, "the steps of the schedule must ascend in time")
			}
		}
		by := callerOf(ctx).Name
		if err := s.plant.Dispatch.Apply(ctx, by, in.Body); err != nil {
			return nil, err
		}
		s.log.InfoContext(ctx, "dispatch set", "enabled", in.Body.Enabled, "strategy", in.Body.Strategy, "steps", len(in.Body.Schedule), "by", by)
		return &settingsOutput{s.plant.settings()}, nil
	})
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
