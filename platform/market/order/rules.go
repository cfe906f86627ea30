package order

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a delivery day is the same on a machine without a database of zones

	"github.com/goccy/go-yaml"
)

// Rules are those of a market, as its file says them.
type Rules struct {
	APIVersion string `yaml:"apiVersion" json:"-" jsonschema:"required,enum=yunchu/v1"`
	Kind       string `yaml:"kind" json:"-" jsonschema:"required,enum=MarketRules"`

	Name     string   `yaml:"name" json:"name" jsonschema:"required"`
	Title    string   `yaml:"title" json:"title"`
	Source   string   `yaml:"source" json:"source"`
	Standing string   `yaml:"standing" json:"standing" jsonschema:"enum=verified,enum=secondary,enum=unverified"`
	Doubts   []string `yaml:"doubts" json:"doubts,omitempty"`
	Currency string   `yaml:"currency" json:"currency" jsonschema:"required"`
	Zone     string   `yaml:"time_zone" json:"time_zone" jsonschema:"required" doc:"Delivery days are those of this zone."`
	Gate     Gate     `yaml:"gate" json:"gate" doc:"When orders for a delivery day must be in."`
	Margin   string   `yaml:"margin" json:"margin" jsonschema:"enum=pro-rata,enum=time" doc:"How what is left is shared at the marginal price: by quantity, or first come first served."`
	Pricing  string   `yaml:"pricing" json:"pricing" jsonschema:"enum=midpoint,enum=lowest,enum=highest" doc:"Which price holds where several clear the market."`
	Products []Terms  `yaml:"products" json:"products" jsonschema:"required,minItems=1"`
	Ranking  *Ranking `yaml:"ranking" json:"ranking,omitempty" doc:"How offers of regulation are ranked; none: by price."`

	zone *time.Location
}

// Gate is when the book of a delivery day closes, on the clock of the market.
type Gate struct {
	DaysBefore int    `yaml:"days_before" json:"days_before" jsonschema:"minimum=0"`
	At         string `yaml:"at" json:"at" jsonschema:"pattern=^[0-2][0-9]:[0-5][0-9]$"`
}

// Terms are how a product is traded.
type Terms struct {
	Product  Product       `yaml:"product" json:"product" jsonschema:"required,enum=energy,enum=regup,enum=regdown,enum=reserve"`
	Interval time.Duration `yaml:"interval" json:"-" jsonschema:"required"`
	Tick     float64       `yaml:"tick" json:"tick" jsonschema:"exclusiveMinimum=0" doc:"Prices are multiples of it."`
	LotMW    float64       `yaml:"lot_mw" json:"lot_mw" jsonschema:"minimum=0.001" doc:"Quantities are multiples of it."`
	LeastMW  float64       `yaml:"least_mw" json:"least_mw" jsonschema:"minimum=0" doc:"An order has at least that much."`
	Floor    float64       `yaml:"floor" json:"floor"`
	Cap      float64       `yaml:"cap" json:"cap"`
	Steps    int           `yaml:"most_steps" json:"most_steps" jsonschema:"minimum=1" doc:"Of a curve, of both sides together."`
}

// Ranking orders offers of regulation by price and by how well a unit follows (see package
// auction).
type Ranking struct {
	LeastIndex   float64 `yaml:"least_index" json:"least_index" doc:"A unit whose index K is lower is not admitted."`
	LeastMW      float64 `yaml:"least_mw" json:"least_mw" doc:"Nor is one that offers less."`
	StorageShare float64 `yaml:"storage_share_percent" json:"storage_share_percent" jsonschema:"minimum=0,maximum=100" doc:"Storage has at most this part of the demand."`
	UnitShare    float64 `yaml:"unit_share_percent" json:"unit_share_percent" jsonschema:"minimum=0,maximum=100" doc:"One unit has at most this part of the demand."`
	Price        string  `yaml:"price" json:"price" jsonschema:"enum=ranking,enum=offer" doc:"What is paid: the highest ranking price that is awarded, or the highest offer."`
}

// Kind of a file of rules.
const Kind = "MarketRules"

const apiVersion = "yunchu/v1"

// NewRules have what a file may leave out.
func NewRules() *Rules {
	return &Rules{Standing: "unverified", Margin: "pro-rata", Pricing: "midpoint", Gate: Gate{DaysBefore: 1, At: "12:00"}}
}

// Wrong is something that a file cannot mean, and its key.
type Wrong struct{ Key, Msg, Hint string }

// Check tells all that is wrong with rules, and makes them ready to use.
func (r *Rules) Check() (list []Wrong) {
	wrong := func(key, hint, format string, args ...any) {
		list = append(list, Wrong{key, fmt.Sprintf(format, args...), hint})
	}
	oneOf := func(key, have string, of ...string) {
		if !slices.Contains(of, have) {
			wrong(key, "write "+strings.Join(of, ", "), "%q is none of them", have)
		}
	}
	if r.APIVersion != "" && r.APIVersion != apiVersion {
		wrong("apiVersion", "write "+apiVersion, "%q is no version of files", r.APIVersion)
	}
	if r.Name == "" {
		wrong("name", "", "rules need a name")
	}
	if r.Currency == "" {
		wrong("currency", "as in EUR", "prices need a currency")
	}
	var err error
	if r.zone, err = time.LoadLocation(r.Zone); err != nil || r.Zone == "" || r.Zone == "Local" {
		wrong("time_zone", "as in Europe/Berlin", "%q is no time zone", r.Zone)
		r.zone = time.UTC
	}
	if _, err := time.Parse("15:04", r.Gate.At); err != nil {
		wrong("gate.at", "as in 12:00", "%q is no time of day", r.Gate.At)
	}
	if r.Gate.DaysBefore < 0 {
		wrong("gate.days_before", "1 is the day before", "%d days", r.Gate.DaysBefore)
	}
	oneOf("standing", r.Standing, "verified", "secondary", "unverified")
	oneOf("margin", r.Margin, "pro-rata", "time")
	oneOf("pricing", r.Pricing, "midpoint", "lowest", "highest")
	if len(r.Products) == 0 {
		wrong("products", "", "a market without products")
	}
	for i := range r.Products {
		t := &r.Products[i]
		key := func(name string) string { return fmt.Sprintf("products[%d].%s", i, name) }
		if !slices.Contains(Products, t.Product) {
			wrong(key("product"), "write energy, regup, regdown or reserve", "%q is no product", t.Product)
		}
		if slices.ContainsFunc(r.Products[:i], func(o Terms) bool { return o.Product == t.Product }) {
			wrong(key("product"), "", "%s is there twice", t.Product)
		}
		if t.Interval <= 0 || time.Hour%t.Interval != 0 {
			wrong(key("interval"), "as in 15m or 1h", "%v does not divide an hour", t.Interval)
		}
		for _, price := range []struct {
			name string
			x    float64
		}{{"tick", t.Tick}, {"floor", t.Floor}, {"cap", t.Cap}} {
			if _, ok := Of(price.x); !ok {
				wrong(key(price.name), "six digits after the point at most", "%v is no price", price.x)
			}
		}
		if !(t.Tick > 0) {
			wrong(key("tick"), "as in 0.01", "a tick of %v", t.Tick)
		}
		if !(t.Floor < t.Cap) {
			wrong(key("cap"), "", "%v to %v leaves no price", t.Floor, t.Cap)
		}
		if q, ok := OfMW(t.LotMW); !ok || q <= 0 {
			wrong(key("lot_mw"), "as in 0.1", "a lot of %v MW", t.LotMW)
		}
		if q, ok := OfMW(t.LeastMW); !ok || q < 0 {
			wrong(key("least_mw"), "as in 0.1", "%v MW", t.LeastMW)
		}
		if t.Steps < 1 {
			wrong(key("most_steps"), "as in 200", "a curve of %d steps", t.Steps)
		}
	}
	if k := r.Ranking; k != nil {
		oneOf("ranking.price", k.Price, "ranking", "offer")
		for _, share := range []struct {
			name string
			x    float64
		}{{"storage_share_percent", k.StorageShare}, {"unit_share_percent", k.UnitShare}} {
			if !(share.x >= 0 && share.x <= 100) {
				wrong("ranking."+share.name, "", "%v percent", share.x)
			}
		}
		if !(k.LeastIndex >= 0) {
			wrong("ranking.least_index", "", "an index of %v", k.LeastIndex)
		}
	}
	return list
}

// Location is the zone of the market.
func (r *Rules) Location() *time.Location { return r.zone }

// Terms of a product, nil where it is not traded.
func (r *Rules) Terms(p Product) *Terms {
	if i := slices.IndexFunc(r.Products, func(t Terms) bool { return t.Product == p }); i >= 0 {
		return &r.Products[i]
	}
	return nil
}

// Lot is what quantities are multiples of.
func (t *Terms) Lot() KW {
	q, _ := OfMW(t.LotMW)
	return q
}

// Ticks is what prices are multiples of.
func (t *Terms) Ticks() Price {
	p, _ := Of(t.Tick)
	return p
}

// Bounds are floor and cap of prices.
func (t *Terms) Bounds() (lo, hi Price) {
	lo, _ = Of(t.Floor)
	hi, _ = Of(t.Cap)
	return lo, hi
}

// Begin is the begin of the delivery day that t lies in, and that of the next one: between them
// are 23, 24 or 25 hours.
func (r *Rules) Begin(t time.Time) (from, to time.Time) {
	y, m, d := t.In(r.zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, r.zone).UTC(), time.Date(y, m, d+1, 0, 0, 0, 0, r.zone).UTC()
}

// Closes is when the book of the day that t lies in closes.
func (r *Rules) Closes(t time.Time) time.Time {
	clock, _ := time.Parse("15:04", r.Gate.At)
	y, m, d := t.In(r.zone).Date()
	return time.Date(y, m, d-r.Gate.DaysBefore, clock.Hour(), clock.Minute(), 0, 0, r.zone).UTC()
}

// Breach is a rule that an order breaks: the column of its file that does, why, and what to
// write.
type Breach struct{ Column, Msg, Hint string }

func (b *Breach) Error() string { return b.Msg }

// Admit is the first rule that an order breaks by itself, nil for none. A time of zero for now
// leaves the gate out.
func (r *Rules) Admit(o *Order, now time.Time) *Breach {
	t := r.Terms(o.Product)
	if t == nil {
		return &Breach{"product", fmt.Sprintf("%s has no product %q", r.Name, o.Product), "its products are " + r.products()}
	}
	lo, hi := t.Bounds()
	lot := t.Lot()
	from, _ := r.Begin(o.At)
	least, _ := OfMW(t.LeastMW)
	switch {
	case o.At.Sub(from)%t.Interval != 0:
		return &Breach{"time", fmt.Sprintf("%s does not begin a delivery of %v", o.At.In(r.zone).Format(time.RFC3339), t.Interval), "deliveries begin with the local day and follow each other by " + t.Interval.String()}
	case o.Product != Energy && o.Side == Buy:
		return &Breach{"side", fmt.Sprintf("%s is bought by the market alone", o.Product), "write sell"}
	case o.KW <= 0:
		return &Breach{"quantity_mw", fmt.Sprintf("an order of %s MW", o.KW), "the side says which way it goes; a quantity is above 0"}
	case o.KW%lot != 0:
		return &Breach{"quantity_mw", fmt.Sprintf("%s MW is no multiple of the lot of %s MW", o.KW, lot), fmt.Sprintf("write %s or %s", o.KW/lot*lot, (o.KW/lot+1)*lot)}
	case o.KW < least:
		return &Breach{"quantity_mw", fmt.Sprintf("%s MW is less than the least, %s MW", o.KW, least), ""}
	case !o.Limit.IsAny() && o.Limit%t.Ticks() != 0:
		return &Breach{"price_per_mwh", fmt.Sprintf("%s is no multiple of the tick of %s", o.Limit, t.Ticks()), "a seller rounds up, a buyer down"}
	case !o.Limit.IsAny() && (o.Limit < lo || o.Limit > hi):
		return &Breach{"price_per_mwh", fmt.Sprintf("%s is outside of %s to %s", o.Limit, lo, hi), "an empty field takes every price"}
	case !now.IsZero() && !now.Before(r.Closes(o.At)):
		return &Breach{"time", fmt.Sprintf("the book of that day closed at %s", r.Closes(o.At).In(r.zone).Format(time.RFC3339)), ""}
	}
	return nil
}

// AdmitCurve is the first rule that a curve breaks as a whole: the orders of one party for one
// product and delivery.
func (r *Rules) AdmitCurve(curve []Order) *Breach {
	if len(curve) == 0 {
		return nil
	}
	if t := r.Terms(curve[0].Product); t != nil && len(curve) > t.Steps {
		return &Breach{"time", fmt.Sprintf("a curve of %d steps, where %d are the most", len(curve), t.Steps), ""}
	}
	buy, sell, trades := Any(Sell), Any(Buy), [2]bool{}
	for i := range curve {
		trades[curve[i].Side] = true
		if curve[i].Side == Buy {
			buy = max(buy, curve[i].Limit)
		} else {
			sell = min(sell, curve[i].Limit)
		}
	}
	if trades[Buy] && trades[Sell] && buy >= sell {
		return &Breach{"price_per_mwh", fmt.Sprintf("the curve buys at %s and sells at %s: it would trade with itself", buy, sell), "sell above what is bought at"}
	}
	return nil
}

func (r *Rules) products() string {
	names := make([]string, len(r.Products))
	for i := range r.Products {
		names[i] = string(r.Products[i].Product)
	}
	return strings.Join(names, ", ")
}

//go:embed rules/*.yaml
var ruleFiles embed.FS

// RuleNames are the rules that ship.
func RuleNames() (names []string) {
	files, err := ruleFiles.ReadDir("rules")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// RuleText is the file of rules that ship.
func RuleText(name string) ([]byte, error) {
	src, err := ruleFiles.ReadFile(path.Join("rules", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("there are no rules %q: there are %s", name, strings.Join(RuleNames(), ", "))
	}
	return src, nil
}

// Shipped are the rules of a name.
func Shipped(name string) (*Rules, error) {
	src, err := RuleText(name)
	if err != nil {
		return nil, err
	}
	r := NewRules()
	if err := yaml.UnmarshalWithOptions(src, r, yaml.Strict()); err != nil {
		panic(name + ": " + err.Error())
	}
	if wrong := r.Check(); len(wrong) > 0 {
		panic(name + ": " + wrong[0].Key + ": " + wrong[0].Msg)
	}
	return r, nil
}
