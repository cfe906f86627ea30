package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

type setupInput struct {
	Body struct {
		Token    string `json:"token" maxLength:"512" doc:"the setup token that the start printed"`
		User     string `json:"user" maxLength:"64"`
		Password string `json:"password" maxLength:"256" doc:"at least 12 characters"`
	}
}

type loginInput struct {
	Body struct {
		User     string `json:"user" maxLength:"64"`
		Password string `json:"password" maxLength:"256"`
	}
}

type tokenInput struct {
	Body struct {
		Role     auth.Role  `json:"role" enum:"viewer,operator,engineer,admin,auditor,device"`
		DeviceID string     `json:"deviceId,omitempty" doc:"of the role device, and only of it; an unknown device is registered"`
		Name     string     `json:"name,omitempty" maxLength:"64" doc:"for people"`
		Expires  *time.Time `json:"expires,omitempty" doc:"RFC 3339; left out: never"`
	}
}

// TokenDoc is what may be told of a token. It is exported because huma fills no
// others.
type TokenDoc struct {
	ID       string     `json:"id"`
	Role     auth.Role  `json:"role" enum:"viewer,operator,engineer,admin,auditor,device"`
	DeviceID string     `json:"deviceId,omitempty"`
	Name     string     `json:"name,omitempty"`
	User     string     `json:"user,omitempty" doc:"whose session it is"`
	By       string     `json:"by,omitempty" doc:"who issued it"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty" doc:"left out: never"`
}

func describeToken(t auth.TokenInfo) TokenDoc {
	d := TokenDoc{ID: t.ID, Role: t.Role, DeviceID: string(t.Device), Name: t.Name, User: t.User, By: t.By, Created: t.Created}
	if !t.Expires.IsZero() {
		d.Expires = &t.Expires
	}
	return d
}

type issuedOutput struct {
	Body struct {
		Token string `json:"token" doc:"shown this once"`
		TokenDoc
	}
}

func issued(t auth.Issued, err error) (*issuedOutput, error) {
	out := &issuedOutput{}
	out.Body.Token, out.Body.TokenDoc = t.Secret, describeToken(t.TokenInfo)
	return out, err
}

// sessionOutput is a login.
type sessionOutput struct {
	Body struct {
		Token          string    `json:"token" doc:"access token, a JWT"`
		RefreshToken   string    `json:"refreshToken" doc:"for POST /api/v1/refresh, good once"`
		RefreshExpires time.Time `json:"refreshExpires" doc:"end of the session"`
		TokenDoc
	}
}

func began(t auth.Session, err error) (*sessionOutput, error) {
	out := &sessionOutput{}
	out.Body.Token, out.Body.TokenDoc = t.Secret, describeToken(t.TokenInfo)
	out.Body.RefreshToken, out.Body.RefreshExpires = t.Refresh, t.RefreshExpires
	return out, err
}

type refreshInput struct {
	Body struct {
		RefreshToken string `json:"refreshToken" maxLength:"512"`
	}
}

type keysOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Keys []auth.JWK `json:"keys" nullable:"false"`
	}
}

type tokensOutput struct {
	Body struct {
		Items []TokenDoc `json:"items" nullable:"false"`
	}
}

type userDoc struct {
	User    string     `json:"user"`
	Role    auth.Role  `json:"role" enum:"viewer,operator,engineer,admin,auditor"`
	Created *time.Time `json:"created,omitempty" doc:"left out for a user of the configuration"`
}

type usersOutput struct {
	Body struct {
		Items []userDoc `json:"items" nullable:"false"`
	}
}

type userInput struct {
	User string `path:"user" maxLength:"64"`
	Body struct {
		Role     auth.Role `json:"role" enum:"viewer,operator,engineer,admin,auditor"`
		Password string    `json:"password" maxLength:"256" doc:"at least 12 characters"`
	}
}

func (s *Server) identityRoutes() {
	tags := []string{"identity"}
	open(s, huma.Operation{
		OperationID: "setup", Method: http.MethodPost, Path: "/api/v1/setup", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make the first administrator with the token that the start printed, and log in",
	}, func(ctx context.Context, in *setupInput) (*sessionOutput, error) {
		return began(s.auth.Setup(ctx, s.wall(), in.Body.Token, in.Body.User, in.Body.Password))
	})
	open(s, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/api/v1/login", Tags: tags,
		Summary: "Log in; the access token is good for 15 minutes, the session for 12 hours",
	}, func(ctx context.Context, in *loginInput) (*sessionOutput, error) {
		return began(s.auth.Login(ctx, s.wall(), callerOf(ctx).host, in.Body.User, in.Body.Password))
	})
	open(s, huma.Operation{
		OperationID: "refresh", Method: http.MethodPost, Path: "/api/v1/refresh", Tags: tags,
		Summary: "Trade a refresh token for the next pair; one that was used before ends the session",
	}, func(ctx context.Context, in *refreshInput) (*sessionOutput, error) {
		return began(s.auth.Refresh(ctx, s.wall(), callerOf(ctx).host, in.Body.RefreshToken))
	})
	open(s, huma.Operation{
		OperationID: "logout", Method: http.MethodPost, Path: "/api/v1/logout", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "End the session of a refresh token, with its access tokens",
	}, func(ctx context.Context, in *refreshInput) (*struct{}, error) {
		return nil, s.auth.Logout(ctx, callerOf(ctx).host, in.Body.RefreshToken)
	})
	open(s, huma.Operation{
		OperationID: "get-keys", Method: http.MethodGet, Path: "/.well-known/jwks.json", Tags: tags,
		Summary: "Public keys of access tokens (RFC 7517)",
	}, func(context.Context, *struct{}) (*keysOutput, error) {
		out := &keysOutput{CacheControl: "public, max-age=300"}
		out.Body.Keys = s.auth.Keys()
		return out, nil
	})
	guarded(s, auth.Tokens, huma.Operation{
		OperationID: "issue-token", Method: http.MethodPost, Path: "/api/v1/tokens", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Issue a token; it is shown this once",
	}, s.issueToken)
	guarded(s, auth.Tokens, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/api/v1/tokens", Tags: tags,
		Summary: "Tokens and sessions that are good, without their secrets",
	}, func(context.Context, *struct{}) (*tokensOutput, error) {
		out := &tokensOutput{}
		out.Body.Items = []TokenDoc{}
		for _, t := range s.auth.Tokens(s.wall()) {
			out.Body.Items = append(out.Body.Items, describeToken(t))
		}
		return out, nil
	})
	guarded(s, auth.Tokens, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/api/v1/tokens/{id}", Tags: tags,
		Summary: "Revoke a token or end a session; it ends at once, its WebSockets within a second",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"64"`
	},
	) (*struct{}, error) {
		return nil, s.auth.Revoke(ctx, in.ID, callerOf(ctx).Name)
	})
	guarded(s, auth.Users, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/api/v1/users", Tags: tags, Summary: "Users by name",
	}, func(context.Context, *struct{}) (*usersOutput, error) {
		out := &usersOutput{}
		out.Body.Items = []userDoc{}
		for _, u := range s.auth.Users() {
			d := userDoc{User: u.Name, Role: u.Role}
			if !u.Configured {
				d.Created = &u.Created
			}
			out.Body.Items = append(out.Body.Items, d)
		}
		return out, nil
	})
	guarded(s, auth.Users, huma.Operation{
		OperationID: "put-user", Method: http.MethodPut, Path: "/api/v1/users/{user}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Add a user or change role and password; the user's sessions end",
	}, func(ctx context.Context, in *userInput) (*struct{}, error) {
		return nil, s.auth.PutUser(ctx, s.wall(), in.User, in.Body.Role, in.Body.Password, callerOf(ctx).Name)
	})
	guarded(s, auth.Users, huma.Operation{
		OperationID: "remove-user", Method: http.MethodDelete, Path: "/api/v1/users/{user}", Tags: tags,
		Summary: "Remove a user; the user's sessions end",
	}, func(ctx context.Context, in *struct {
		User string `path:"user" maxLength:"64"`
	},
	) (*struct{}, error) {
		return nil, s.auth.RemoveUser(ctx, in.User, callerOf(ctx).Name)
	})
}

func (s *Server) issueToken(ctx context.Context, in *tokenInput) (*issuedOutput, error) {
	now := s.wall()
	g := auth.Grant{Role: in.Body.Role, Device: device.ID(in.Body.DeviceID), Name: in.Body.Name}
	if in.Body.Expires != nil {
		if g.Life = in.Body.Expires.Sub(now); g.Life <= 0 {
			return nil, refuse(CodeInvalidRequest, "expires lies in the past")
		}
	}
	if g.Role == auth.Device && g.Device.Valid() {
		if _, known := s.plant.Registry.Slot(g.Device); !known {
			if _, err := s.plant.Registry.Register(ctx, device.Info{ID: g.Device}); err != nil {
				return nil, err
			}
		}
	}
	return issued(s.auth.Issue(ctx, now, callerOf(ctx).Name, g))
}
