package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/device"
	"yunchu/platform/plural"
	"yunchu/platform/settle"
	"yunchu/platform/store/series"
)

type scoreInput struct {
	Body struct {
		Rule         string    `json:"rule" example:"pjm" doc:"one that ships: pjm, hunan, north-china, guangdong, shanxi"`
		RuleText     string    `json:"rule_text,omitempty" maxLength:"65536" doc:"the file of a rule, instead of rule"`
		Period       float64   `json:"period_s" exclusiveMinimum:"0" maximum:"60" doc:"distance of the samples"`
		Signal       []float64 `json:"signal_kw" minItems:"2" maxItems:"400000" nullable:"false" doc:"what was asked for"`
		Response     []float64 `json:"response_kw" minItems:"2" maxItems:"400000" nullable:"false" doc:"what was delivered, with the same sign"`
		Variant      string    `json:"variant,omitempty" enum:",rolling,rolling10s,block" doc:"of pjm"`
		RatedKW      float64   `json:"rated_kw,omitempty" minimum:"0" doc:"what is measured against; default: the largest power of the signal"`
		Price        float64   `json:"price,omitempty" doc:"of a MW of mileage; default: that of the rule"`
		Share        float64   `json:"share,omitempty" minimum:"0" maximum:"1" default:"1" doc:"part of an award that was for regulation"`
		RMCCP        float64   `json:"rmccp,omitempty" doc:"of pjm: price of capability, per MWh"`
		RMPCP        float64   `json:"rmpcp,omitempty" doc:"of pjm: price of performance, per MWh"`
		MileageRatio float64   `json:"mileage_ratio,omitempty" default:"1" doc:"of pjm"`
	}
}

// settled is what package settle answers, in the form that its commands print.
type settled struct{ of any }

func (a settled) MarshalJSON() ([]byte, error) { return json.Marshal(a.of) }

// Schema implements huma.SchemaProvider: amounts are numbers of exact digits, which no type of Go's is.
func (settled) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "as yunchu settle prints it with --json"}
}

type settledOutput struct{ Body settled }

func (s *Server) score(ctx context.Context, in *scoreInput) (*settledOutput, error) {
	_, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	q := &in.Body
	if err := errors.Join(sensible("signal_kw", q.Signal), sensible("response_kw", q.Response)); err != nil {
		return nil, err
	}
	rule, err := chosen(q.Rule, q.RuleText, settle.ShippedScore, settle.ParseScore)
	if err != nil {
		return nil, err
	}
	curve := func(kw []float64) settle.Curve {
		t := make([]float64, len(kw))
		for i := range t {
			t[i] = float64(i) * q.Period
		}
		return settle.Curve{T: t, KW: kw}
	}
	j, err := rule.Judge(settle.Terms{
		Variant: q.Variant, RatedKW: q.RatedKW, Price: q.Price, Share: q.Share, RMCCP: q.RMCCP, RMPCP: q.RMPCP, MileageRatio: q.MileageRatio,
	}, curve(q.Signal), curve(q.Response))
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	return &settledOutput{settled{j}}, nil
}

// chosen is a rule that ships, or the text of one.
func chosen[R any](name, text string, ships func(string) (*R, error), parse func([]byte) (*R, error)) (rule *R, err error) {
	switch {
	case text == "":
		rule, err = ships(name)
	case name == "":
		rule, err = parse([]byte(text))
	default:
		err = errors.New("name a rule or write one, not both")
	}
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	return rule, nil
}

// Bounds of one bill: its readings (a device for a year at a second), the days of all devices that are looked
// through, the amounts, and those of what is missing that are listed.
const (
	mostBilled  = 40_000_000
	mostDays    = 40_000
	mostAmounts = 500_000
	mostMissing = 1000
	// A bill is made again as each known trap would have it to say why another's differs.
	mostReconciled = 50_000
)

type billInput struct {
	Body struct {
		Rule     string       `json:"rule" example:"two-settlement" doc:"one that ships: two-settlement, two-settlement-capacity, mengxi, demand-response, peak-shaving-double-min, regulation-mileage, tou-demand"`
		RuleText string       `json:"rule_text,omitempty" maxLength:"65536" doc:"the file of a rule, instead of rule"`
		Currency string       `json:"currency,omitempty" maxLength:"16" doc:"of the prices in columns, where the rule has none of its own; default: that of the rule. Nothing is converted"`
		Devices  string       `json:"devices" minLength:"1" maxLength:"256" doc:"glob of device ids, whose readings are added up: name those behind one connection once, its meter or its batteries"`
		From     time.Time    `json:"from" doc:"begin of an interval of the rule"`
		To       time.Time    `json:"to" doc:"not included"`
		GapS     float64      `json:"gap_s,omitempty" exclusiveMinimum:"0" maximum:"3600" default:"60" doc:"readings that are further apart have nothing between them"`
		ProForma bool         `json:"pro_forma,omitempty" doc:"simulated readings are taken; the answer is no bill then"`
		Columns  []billColumn `json:"columns,omitempty" maxItems:"32" nullable:"false" doc:"what the rule needs besides, one value for each interval"`
		Items    bool         `json:"items,omitempty" doc:"the answer has each interval of each line"`
		Claims   []billClaim  `json:"claims,omitempty" maxItems:"4096" nullable:"false" doc:"another party's bill: the answer says how it differs, and which known trap explains that"`
		Book     *billBook    `json:"book,omitempty" doc:"where the bill is booked; one that simulated readings or missing intervals are in is not"`
	}
}

type billClaim struct {
	Line   string  `json:"line" doc:"that of the rule"`
	Month  string  `json:"month,omitempty" example:"2026-01" doc:"left out: all months of the bill together"`
	Amount float64 `json:"amount" doc:"above 0 is earned"`
}

type billBook struct {
	Ledger string `json:"ledger" maxLength:"900000" doc:"what is booked so far, line by line as it was answered; empty: nothing"`
	Party  string `json:"party" minLength:"1" maxLength:"256" doc:"whom the bill is with"`
	Site   string `json:"site,omitempty" maxLength:"256" doc:"whose readings they are, where the party has several sites"`
}

type billColumn struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values" maxItems:"40000" nullable:"false" doc:"null: not known"`
}

func (s *Server) bill(ctx context.Context, in *billInput) (*settledOutput, error) {
	ctx, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	q := &in.Body
	rule, err := chosen(q.Rule, q.RuleText, settle.ShippedTariff, settle.ParseTariff)
	if err != nil {
		return nil, err
	}
	if q.Currency != "" {
		if err := rule.In(q.Currency); err != nil {
			return nil, refuse(CodeInvalidRequest, err.Error())
		}
	}
	n := int(q.To.Sub(q.From) / rule.Step)
	switch {
	case n < 1 || n > maxIntervals:
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("from %s to %s are %d intervals of %v: a bill has 1 to %d", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339), n, rule.Step, maxIntervals))
	case n*len(rule.Lines) > mostAmounts:
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("%d intervals of %s are more than %d amounts: bill a shorter time", n, plural.Count(len(rule.Lines), "line", "lines"), mostAmounts))
	case !rule.Begins(q.From, rule.Step) || !rule.Begins(q.To, rule.Step):
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("from and to are begins of intervals of %v in %s", rule.Step, rule.Zone))
	}
	data := &settle.Data{Column: map[string][]float64{}}
	for i := range n {
		at := q.From.Add(time.Duration(i) * rule.Step).UTC()
		if !rule.Holds(at) {
			return nil, refuse(CodeInvalidRequest, fmt.Sprintf("rule %s of %s is not valid at %s", rule.Name, rule.Version, at.Format(time.RFC3339)))
		}
		data.At = append(data.At, at)
	}
	for _, c := range q.Columns {
		if len(c.Values) != n {
			return nil, refuse(CodeInvalidRequest, fmt.Sprintf("column %s has %s for %s", quote(c.Name), plural.Count(len(c.Values), "value", "values"), plural.Count(n, "interval", "intervals")))
		}
		list := make([]float64, n)
		for i, x := range c.Values {
			if list[i] = math.NaN(); x != nil {
				list[i] = *x
			}
		}
		data.Column[c.Name] = list
	}
	simulated, of, err := s.meter(ctx, in, rule, data)
	if err != nil {
		return nil, err
	}
	bill := rule.Totals
	if q.Items {
		bill = rule.Bill
	}
	b, err := bill(data)
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	b.Of, b.ProForma = of, simulated
	if more := len(b.Missing) - mostMissing; more > 0 {
		b.Missing, b.MissingMore = b.Missing[:mostMissing], more
	}
	out := struct {
		*settle.Bill
		Reconciled *settle.Reconciled `json:"reconciled,omitempty"`
		Booked     *booked            `json:"booked,omitempty"`
	}{Bill: b}
	if len(q.Claims) > 0 {
		if out.Reconciled, err = reconcile(rule, data, q.Claims); err != nil {
			return nil, err
		}
	}
	if q.Book != nil {
		l, err := settle.ReadLedger([]byte(q.Book.Ledger))
		if err != nil {
			return nil, refuse(CodeInvalidRequest, err.Error())
		}
		b.Site = q.Book.Site
		lines, err := l.Settle(q.Book.Party, s.now(), b)
		if err != nil {
			return nil, refuse(CodeInvalidRequest, err.Error())
		}
		out.Booked = &booked{string(lines), l.Statement()}
	}
	return &settledOutput{settled{out}}, nil
}

// reconcile says how another party's bill differs.
func reconcile(rule *settle.Tariff, data *settle.Data, claims []billClaim) (*settle.Reconciled, error) {
	if n := len(data.At) * len(rule.Lines); n > mostReconciled {
		return nil, refuse(CodeInvalidRequest, fmt.Sprintf("claims are compared over %d amounts at most, and these are %d: compare month by month", mostReconciled, n))
	}
	var list []settle.Claim
	for i, c := range claims {
		if err := sensible("amount of claim", []float64{c.Amount}); err != nil {
			return nil, err
		}
		amount, err := rule.Rounding.Parse(strconv.FormatFloat(c.Amount, 'f', -1, 64))
		if err != nil {
			return nil, refuse(CodeInvalidRequest, fmt.Sprintf("claim %d: %v", i, err))
		}
		list = append(list, settle.Claim{Line: c.Line, Month: c.Month, Amount: amount})
	}
	r, err := rule.Reconcile(data, list)
	if err != nil {
		return nil, refuse(CodeInvalidRequest, "claims: "+err.Error())
	}
	return r, nil
}

// booked is what a bill adds to the caller's ledger.
type booked struct {
	Append string `json:"append"` // lines for its end; empty where all was booked before
	settle.Statement
}

type ledgerInput struct {
	Body struct {
		Ledger string `json:"ledger" maxLength:"900000" doc:"the book, line by line"`
	}
}

func (s *Server) ledger(ctx context.Context, in *ledgerInput) (*settledOutput, error) {
	_, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := settle.ReadLedger([]byte(in.Body.Ledger))
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	return &settledOutput{settled{l.Statement()}}, nil
}

// meter fills in what the devices have measured. Readings are taken a day at a time.
func (s *Server) meter(ctx context.Context, in *billInput, rule *settle.Tariff, d *settle.Data) (simulated bool, of []string, err error) {
	q := &in.Body
	slots, err := s.match(ctx, q.Devices)
	if err != nil {
		return false, nil, err
	}
	if len(slots) == 0 {
		return false, nil, refuse(CodeInvalidRequest, "no device is named "+quote(q.Devices))
	}
	gap := time.Duration(q.GapS * float64(time.Second))
	perPart := max(1, int(24*time.Hour/rule.Step))
	n, read := len(d.At), 0
	if days := len(slots) * (n/perPart + 1); days > mostDays {
		return false, nil, refuse(CodeInvalidRequest, fmt.Sprintf("%s for that long are %d days of readings, and %d are looked through at most: bill fewer devices or a shorter time", plural.Count(len(slots), "device", "devices"), days, mostDays))
	}
	d.Energy, d.Known = make([]float64, n), make([]float64, n)
	for i := range d.Known {
		d.Known[i] = 1
	}
	for _, slot := range slots {
		info, ok := s.plant.Registry.Device(slot)
		if !ok || info.Kind == "fused" { // what it is made of is there already
			continue
		}
		of = append(of, string(info.ID))
		for from := 0; from < n; from += perPart {
			to := min(from+perPart, n)
			begin, end := d.At[from], d.At[to-1].Add(rule.Step)
			if err := ctx.Err(); err != nil {
				return false, nil, err
			}
			samples, err := s.samples(ctx, slot, begin.Add(-gap), end.Add(gap))
			if err != nil {
				return false, nil, err
			}
			if read += len(samples); read > mostBilled {
				return false, nil, refuse(CodeInvalidRequest, fmt.Sprintf("there are more than %d readings: bill fewer devices or a shorter time", mostBilled))
			}
			if err := settle.Refuse(samples); err != nil {
				if !q.ProForma {
					return false, nil, refuse(CodeInvalidRequest, fmt.Sprintf("%s: %v; pro_forma shows what the bill would be", info.ID, err))
				}
				simulated = true
			}
			energy, _, known, err := settle.Meter(samples, begin, end, rule.Step, gap, rule.Needs())
			if err != nil {
				return false, nil, err
			}
			for i := range energy {
				d.Energy[from+i] = math.Round((d.Energy[from+i]+energy[i])*1e6) / 1e6
				d.Known[from+i] = min(d.Known[from+i], known[i])
			}
		}
	}
	slices.Sort(of)
	return simulated, of, nil
}

// samples are the readings of a device in order, with the gaps that the history tells.
func (s *Server) samples(ctx context.Context, slot device.Slot, from, to time.Time) (list []settle.Sample, err error) {
	q := Query{Slot: slot, From: from.UnixMilli(), To: to.UnixMilli() + 1, Fields: series.Power, Limit: MaxPage}
	for {
		page, err := s.plant.History.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			r := &page.Rows[i]
			list = append(list, settle.Sample{At: r.At, KW: r.Power, Quality: r.Quality, Flags: r.Flags})
		}
		for _, g := range page.Gaps {
			list = append(list, settle.Sample{At: g.From, Gap: true})
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b settle.Sample) int { return int(min(max(a.At-b.At, -1), 1)) })
	return list, nil
}
