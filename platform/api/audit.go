package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/audit"
	"yunchu/platform/auth"
)

type auditInput struct {
	From   string `query:"from" doc:"RFC 3339 or ms; left out: an hour before to; 0: the beginning"`
	To     string `query:"to" doc:"RFC 3339 or ms; left out: no end"`
	Device string `query:"device" maxLength:"64" doc:"entries about this device"`
	Kind   string `query:"kind" maxLength:"64" doc:"command, outcome, event, login, refused, setup, device, user, token, setting …"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
	Cursor string `query:"cursor" maxLength:"32"`
}

type auditDoc struct {
	Items []audit.Entry `json:"items" nullable:"false"`
	Next  string        `json:"next" doc:"cursor of the following page; empty at the end. A page may be short, or empty, and not the last"`
}

// CheckpointDoc is a signed checkpoint. It is exported because huma fills no others.
type CheckpointDoc struct {
	Size       int64  `json:"size" doc:"entries that it covers"`
	Root       string `json:"root" doc:"hash of the Merkle tree over them (RFC 6962), base64"`
	Checkpoint string `json:"checkpoint" doc:"as it was signed: a note of golang.org/x/mod/sumdb/note"`
	Key        string `json:"key" doc:"the key to check the signature with"`
}

type checkpointOutput struct{ Body CheckpointDoc }

type inclusionInput struct {
	Entry int64 `query:"entry" required:"true" minimum:"0" doc:"number of the entry"`
	Size  int64 `query:"size" minimum:"0" doc:"of the tree; left out: the newest checkpoint's"`
}

type consistencyInput struct {
	From int64 `query:"from" required:"true" minimum:"1" doc:"size of the older tree"`
	Size int64 `query:"size" minimum:"0" doc:"of the newer tree; left out: the newest checkpoint's"`
}

type proofOutput struct {
	Body struct {
		Size  int64    `json:"size" doc:"of the tree that the proof leads to"`
		Proof []string `json:"proof" nullable:"false" doc:"hashes in the order of RFC 6962, base64"`
	}
}

func proof(size int64, hashes []tlog.Hash, err error) (*proofOutput, error) {
	if errors.Is(err, audit.ErrRange) {
		return nil, refuse(CodeInvalidRequest, err.Error())
	} else if err != nil {
		return nil, err
	}
	out := &proofOutput{}
	out.Body.Size, out.Body.Proof = size, []string{}
	for _, h := range hashes {
		out.Body.Proof = append(out.Body.Proof, base64.StdEncoding.EncodeToString(h[:]))
	}
	return out, nil
}

// noAudit refuses where the plant keeps no audit.
func (s *Server) noAudit() error {
	if s.plant.Audit == nil {
		return refuse(CodeNotAvailable, "this plant keeps no audit")
	}
	return nil
}

func (s *Server) auditRoutes() {
	tags := []string{"audit"}
	guarded(s, auth.Audit, huma.Operation{
		OperationID: "get-audit", Method: http.MethodGet, Path: "/api/v1/audit", Tags: tags,
		Summary: "Who did what, in the order of the log", Responses: s.answers(&auditDoc{}),
	}, s.auditEntries)
	guarded(s, auth.Audit, huma.Operation{
		OperationID: "get-audit-checkpoint", Method: http.MethodGet, Path: "/api/v1/audit/checkpoint", Tags: tags,
		Summary: "The newest signed checkpoint, to be kept elsewhere",
	}, func(context.Context, *struct{}) (*checkpointOutput, error) {
		if err := s.noAudit(); err != nil {
			return nil, err
		}
		c, signed, key := s.plant.Audit.Checkpoint()
		return &checkpointOutput{CheckpointDoc{c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), string(signed), key}}, nil
	})
	guarded(s, auth.Audit, huma.Operation{
		OperationID: "prove-inclusion", Method: http.MethodGet, Path: "/api/v1/audit/inclusion", Tags: tags,
		Summary: "Proof that an entry is in the tree (RFC 6962, 2.1.1)",
	}, func(_ context.Context, in *inclusionInput) (*proofOutput, error) {
		if err := s.noAudit(); err != nil {
			return nil, err
		}
		size := s.auditSize(in.Size)
		hashes, err := s.plant.Audit.Inclusion(in.Entry, size)
		return proof(size, hashes, err)
	})
	guarded(s, auth.Audit, huma.Operation{
		OperationID: "prove-consistency", Method: http.MethodGet, Path: "/api/v1/audit/consistency", Tags: tags,
		Summary: "Proof that the tree begins with an older one (RFC 6962, 2.1.2)",
	}, func(_ context.Context, in *consistencyInput) (*proofOutput, error) {
		if err := s.noAudit(); err != nil {
			return nil, err
		}
		size := s.auditSize(in.Size)
		hashes, err := s.plant.Audit.Consistency(in.From, size)
		return proof(size, hashes, err)
	})
}

func (s *Server) auditSize(asked int64) int64 {
	if asked != 0 {
		return asked
	}
	c, _, _ := s.plant.Audit.Checkpoint()
	return c.Size
}

// auditEntries answers with the lines as they are hashed.
func (s *Server) auditEntries(_ context.Context, in *auditInput) (*raw, error) {
	if err := s.noAudit(); err != nil {
		return nil, err
	}
	q := audit.Query{Device: in.Device, Kind: in.Kind, Limit: in.Limit}
	var err error
	if in.To != "" {
		if q.To, err = instant("to", in.To); err != nil {
			return nil, err
		}
	}
	switch {
	case in.From != "":
		if q.From, err = instant("from", in.From); err != nil {
			return nil, err
		}
	case q.To != 0:
		q.From = q.To - 3_600_000
	default:
		q.From = s.now().UnixMilli() - 3_600_000
	}
	if in.Cursor != "" {
		if q.After, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.After < 0 {
			return nil, refuse(CodeInvalidRequest, "cursor "+quote(in.Cursor)+" is not one of ours")
		}
	}
	page, err := s.plant.Audit.Query(q)
	if err != nil {
		return nil, err
	}
	b := []byte(`{"items":[`)
	for i, line := range page.Lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, line...)
	}
	b = append(b, `],"next":"`...)
	if page.Next >= 0 {
		b = strconv.AppendInt(b, page.Next, 10)
	}
	return rawJSON(append(b, `"}`...)), nil
}
