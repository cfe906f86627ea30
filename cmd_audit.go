package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/audit"
)

// where says which audit is meant: a data folder, or a running plant.
type where struct{ data, url, ca string }

func (w *where) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.data, "data", "data", "the data folder of the plant")
	c.Flags().StringVar(&w.url, "url", "", "a running plant instead, such as https://plant:8080; its token is "+tokenVariable)
	c.Flags().StringVar(&w.ca, "ca", "", "certificate (PEM) of the plant, where no public authority has signed it")
	c.MarkFlagsMutuallyExclusive("data", "url")
}

func auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Prove that the audit is what was signed"}
	c.AddCommand(auditVerifyCommand(), auditCheckpointCommand())
	return c
}

func auditVerifyCommand() *cobra.Command {
	var (
		w         where
		kept, key string
	)
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare every entry of the audit with the signed checkpoint",
		Long: `Compare every entry of the audit with the newest signed checkpoint, and name the first one
that was changed, removed or moved. Whoever can write to the data folder can also sign;
a checkpoint that was kept elsewhere (yunchu audit checkpoint) shows that too, and shows
when the whole folder was rolled back.

Exit codes: 0 intact; 1 tampered with; 2 a file or flag is wrong; 3 there is no audit.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var (
				old []byte
				err error
			)
			if kept != "" {
				if old, err = os.ReadFile(kept); err != nil {
					return fail(exitInput, err)
				}
			}
			var r *audit.Report
			if w.url == "" {
				r, err = audit.VerifyFolder(w.data, key, old)
			} else {
				var p *plantAudit
				if p, err = w.plant(); err == nil {
					r, err = audit.VerifyRemote(c.Context(), p, key, old)
				}
			}
			if err != nil {
				return fail(exitEnvironment, err)
			}
			return reportAudit(c.OutOrStdout(), r)
		},
	}
	w.flags(c)
	c.Flags().StringVar(&kept, "checkpoint", "", "an older checkpoint that was kept elsewhere")
	c.Flags().StringVar(&key, "key", "", "the key that must have signed, as yunchu audit checkpoint said it; without it the plant's own")
	return c
}

func reportAudit(w io.Writer, r *audit.Report) error {
	for _, f := range r.Faults {
		fmt.Fprintf(w, "tampered: %s\n", f)
	}
	if !r.Intact() {
		if r.First >= 0 {
			fmt.Fprintf(w, "first entry: %d\n", r.First)
		}
		return silently(exitFailed)
	}
	fmt.Fprintf(w, "intact: %d entries, signed %s\n", r.Entries, r.Checkpoint.Time.Format(time.RFC3339))
	if r.Kept != nil {
		fmt.Fprintf(w, "the first %d are those of the kept checkpoint of %s\n", r.Kept.Size, r.Kept.Time.Format(time.RFC3339))
	}
	if r.Unsigned > 0 {
		fmt.Fprintf(w, "%d newer entries are not signed yet\n", r.Unsigned)
	}
	return nil
}

func auditCheckpointCommand() *cobra.Command {
	var w where
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest signed checkpoint, to be kept elsewhere",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var (
				signed []byte
				key    string
				err    error
			)
			if w.url == "" {
				if key, err = audit.PublicKey(w.data); err == nil {
					signed, err = os.ReadFile(filepath.Join(w.data, audit.Folder, "checkpoint"))
				}
			} else {
				var p *plantAudit
				if p, err = w.plant(); err == nil {
					signed, key, err = p.Checkpoint(c.Context())
				}
			}
			if err != nil {
				return fail(exitEnvironment, err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "key: %s\n", key)
			_, err = c.OutOrStdout().Write(signed)
			return err
		},
	}
	w.flags(c)
	return c
}

// plantAudit is the audit of a running plant, over its API.
type plantAudit struct {
	base   string
	token  string
	client *http.Client
}

func (w *where) plant() (*plantAudit, error) {
	p := &plantAudit{strings.TrimRight(w.url, "/"), strings.TrimSpace(os.Getenv(tokenVariable)), &http.Client{Timeout: time.Minute}}
	if p.token == "" {
		return nil, fmt.Errorf("%s is not set: it is the token of an auditor or administrator", tokenVariable)
	}
	if w.ca == "" {
		return p, nil
	}
	pem, err := os.ReadFile(w.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", w.ca)
	}
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	return p, nil
}

// get reads a path below the audit's into out.
func (p *plantAudit) get(ctx context.Context, path string, query url.Values, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/api/v1/audit"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	a, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", p.base, err)
	}
	if a.StatusCode != http.StatusOK {
		var problem struct{ Code, Detail string }
		if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
			problem.Code = a.Status
		}
		return fmt.Errorf("%s answers %s: %s", p.base, problem.Code, problem.Detail)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", p.base, err)
	}
	return nil
}

// Checkpoint implements audit.Remote.
func (p *plantAudit) Checkpoint(ctx context.Context) (signed []byte, key string, err error) {
	var c struct{ Checkpoint, Key string }
	err = p.get(ctx, "/checkpoint", nil, &c)
	return []byte(c.Checkpoint), c.Key, err
}

// Entries implements audit.Remote.
func (p *plantAudit) Entries(ctx context.Context, after int64) (audit.Page, error) {
	var in struct {
		Items []json.RawMessage
		Next  string
	}
	page := audit.Page{Next: -1}
	err := p.get(ctx, "", url.Values{"from": {"0"}, "limit": {"10000"}, "cursor": {strconv.FormatInt(after, 10)}}, &in)
	if err != nil {
		return page, err
	}
	for _, line := range in.Items {
		page.Lines = append(page.Lines, line)
	}
	if in.Next != "" {
		page.Next, err = strconv.ParseInt(in.Next, 10, 64)
	}
	return page, err
}

// Consistency implements audit.Remote.
func (p *plantAudit) Consistency(ctx context.Context, from, size int64) ([]tlog.Hash, error) {
	var in struct{ Proof []string }
	err := p.get(ctx, "/consistency", url.Values{"from": {strconv.FormatInt(from, 10)}, "size": {strconv.FormatInt(size, 10)}}, &in)
	if err != nil {
		return nil, err
	}
	proof := make([]tlog.Hash, len(in.Proof))
	for i, text := range in.Proof {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) != tlog.HashSize {
			return nil, errors.New("the proof is not made of hashes")
		}
		proof[i] = tlog.Hash(b)
	}
	return proof, nil
}
