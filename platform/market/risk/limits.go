package risk

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/market/order"
)

// Kind of a file of limits.
const Kind = "TradingLimits"

// Limits are what a desk may do, as its file says it. A limit of 0, or one that is left out, is
// none.
type Limits struct {
	APIVersion string `yaml:"apiVersion" json:"-" jsonschema:"required,enum=yunchu/v1"`
	Kind       string `yaml:"kind" json:"-" jsonschema:"required,enum=TradingLimits"`

	Name        string   `yaml:"name" json:"name" jsonschema:"required"`
	Battery     *Battery `yaml:"battery" json:"battery,omitempty" doc:"What has to deliver."`
	SoC         string   `yaml:"soc" json:"soc" jsonschema:"enum=all,enum=awarded,enum=off" doc:"What must be possible: all that may be awarded of these orders, or all of them at once, or nothing is looked at."`
	OrderMW     float64  `yaml:"order_mw" json:"order_mw,omitempty" jsonschema:"minimum=0" doc:"Of one order."`
	PositionMW  float64  `yaml:"position_mw" json:"position_mw,omitempty" jsonschema:"minimum=0" doc:"Of a product in one delivery, bought or sold, with all orders of that side traded."`
	DayMWh      float64  `yaml:"day_mwh" json:"day_mwh,omitempty" jsonschema:"minimum=0" doc:"Energy bought and sold for a delivery day, together."`
	Spend       float64  `yaml:"spend" json:"spend,omitempty" jsonschema:"minimum=0" doc:"What the buys for a delivery day may cost, each at its limit, or at the cap of the market."`
	BuyAtMost   *float64 `yaml:"buy_at_most" json:"buy_at_most,omitempty" doc:"No higher limit to buy at, any price included."`
	SellAtLeast *float64 `yaml:"sell_at_least" json:"sell_at_least,omitempty" doc:"No lower limit to sell at, any price included."`
	Confidence  float64  `yaml:"confidence" json:"confidence" jsonschema:"minimum=0,exclusiveMaximum=1" doc:"Of value at risk and its conditional; 0.95 when left out."`
	VaR         float64  `yaml:"var" json:"var,omitempty" doc:"Most value at risk of a delivery day, in the currency."`
	CVaR        float64  `yaml:"cvar" json:"cvar,omitempty" doc:"Most conditional value at risk of a delivery day, in the currency."`
}

// NewLimits have what a file may leave out.
func NewLimits() *Limits { return &Limits{SoC: "all", Confidence: 0.95} }

// Check tells all that is wrong with limits.
func (l *Limits) Check() (list []order.Wrong) {
	wrong := func(key, hint, format string, args ...any) {
		list = append(list, order.Wrong{Key: key, Msg: fmt.Sprintf(format, args...), Hint: hint})
	}
	if l.APIVersion != "" && l.APIVersion != "yunchu/v1" {
		wrong("apiVersion", "write yunchu/v1", "%q is no version of files", l.APIVersion)
	}
	if l.Name == "" {
		wrong("name", "", "limits need a name")
	}
	if !slices.Contains([]string{"all", "awarded", "off"}, l.SoC) {
		wrong("soc", "write all, awarded or off", "%q is none of them", l.SoC)
	}
	if l.SoC != "off" && l.Battery == nil {
		wrong("battery", "or write soc: off", "soc: %s needs a battery", l.SoC)
	}
	if !(l.Confidence >= 0 && l.Confidence < 1) {
		wrong("confidence", "as in 0.95", "a confidence of %v", l.Confidence)
	}
	for _, m := range []struct {
		key string
		x   float64
	}{{"order_mw", l.OrderMW}, {"position_mw", l.PositionMW}, {"day_mwh", l.DayMWh}, {"spend", l.Spend}, {"var", l.VaR}, {"cvar", l.CVaR}} {
		if !(m.x >= 0) || math.IsInf(m.x, 0) {
			wrong(m.key, "0 is no limit", "a limit of %v", m.x)
		}
	}
	if b := l.Battery; b != nil {
		if !(b.PowerKW > 0) {
			wrong("battery.power_kw", "", "%v kW", b.PowerKW)
		}
		if !(b.EnergyKWh > 0) {
			wrong("battery.energy_kwh", "", "%v kWh", b.EnergyKWh)
		}
		if b.Efficiency == 0 {
			b.Efficiency = 1
		}
		if !(b.Efficiency > 0 && b.Efficiency <= 1) {
			wrong("battery.efficiency", "a part of 1, as in 0.85", "%v", b.Efficiency)
		}
		if !(b.StoredKWh >= 0 && b.StoredKWh <= b.EnergyKWh) {
			wrong("battery.stored_kwh", "", "%v kWh", b.StoredKWh)
		}
		if !(b.CalledUp >= 0 && b.CalledUp <= 1) {
			wrong("battery.called_up", "a part of 1, as in 0.3", "%v", b.CalledUp)
		}
		if !(b.CalledDown >= 0 && b.CalledDown <= 1) {
			wrong("battery.called_down", "a part of 1, as in 0.3", "%v", b.CalledDown)
		}
		if b.Hold < 0 {
			wrong("battery.hold", "as in 1h", "%v", b.Hold)
		}
	}
	return list
}

// Breach is a limit that would be broken.
type Breach struct {
	Order int     `json:"order"` // which of the orders breaks it, from 0; -1: all of them together
	Limit string  `json:"limit"` // its key in the file
	Most  float64 `json:"most"`
	Value float64 `json:"value"` // what it would come to
	Msg   string  `json:"message"`
}

func (b *Breach) Error() string { return b.Msg }

// Report is what is known of orders before they are sent.
type Report struct {
	Breaches []Breach
	Ranges   []Range // of the battery; nil where there is none
	// VaR and CVaR are losses, of all orders together; both are set where there are scenarios.
	Scenarios int
	VaR, CVaR float64
	Expected  float64 // mean of what is earned
}

// Trade looks at orders for one market that come on top of what is held. Each is judged by
// itself and with those before it, so that the first that is too much is named. losses are what
// the whole would lose in equally likely scenarios, nil where there are none.
func (l *Limits) Trade(r *order.Rules, held *Position, orders []order.Order, losses []float64) *Report {
	out := &Report{}
	breach := func(i int, limit string, most, value float64, format string, args ...any) {
		out.Breaches = append(out.Breaches, Breach{i, limit, most, value, fmt.Sprintf(format, args...)})
	}
	length := func(p order.Product) time.Duration {
		if t := r.Terms(p); t != nil {
			return t.Interval
		}
		return time.Hour
	}
	type delivery struct {
		at   int64
		what order.Product
		side order.Side
	}
	type day struct{ mwh, spend float64 }
	sums, days := map[delivery]order.KW{}, map[int64]*day{}
	dayOf := func(at time.Time) *day {
		from, _ := r.Begin(at)
		if days[from.Unix()] == nil {
			days[from.Unix()] = &day{}
		}
		return days[from.Unix()]
	}
	for _, h := range held.Lines() {
		if h.Product == order.Energy {
			dayOf(h.At).mwh += math.Abs(h.Net().MW()) * length(order.Energy).Hours()
		}
	}
	for i := range orders {
		o := &orders[i]
		if over(o.KW.MW(), l.OrderMW) {
			breach(i, "order_mw", l.OrderMW, o.KW.MW(), "order_mw: an order of %s MW, %v MW is the most", o.KW, l.OrderMW)
		}
		if o.Product == order.Energy && o.Side == order.Buy && l.BuyAtMost != nil && o.Limit.Float() > *l.BuyAtMost {
			breach(i, "buy_at_most", *l.BuyAtMost, o.Limit.Float(), "buy_at_most: a limit of %s, %v is the most", o.Limit, *l.BuyAtMost)
		}
		if o.Product == order.Energy && o.Side == order.Sell && l.SellAtLeast != nil && o.Limit.Float() < *l.SellAtLeast {
			breach(i, "sell_at_least", *l.SellAtLeast, o.Limit.Float(), "sell_at_least: a limit of %s, %v is the least", o.Limit, *l.SellAtLeast)
		}
		key := delivery{o.At.Unix(), o.Product, o.Side}
		before := sums[key]
		sums[key] += o.KW
		net := held.Net(o.At, o.Product)
		if o.Side == order.Sell {
			net = -net
		}
		if have := (net + sums[key]).MW(); over(have, l.PositionMW) && !over((net+before).MW(), l.PositionMW) {
			breach(i, "position_mw", l.PositionMW, have, "position_mw: %v MW %s in the delivery, %v MW is the most", have, traded[o.Side], l.PositionMW)
		}
		if o.Product != order.Energy {
			continue
		}
		d := dayOf(o.At)
		was := *d
		d.mwh += o.KW.MW() * length(o.Product).Hours()
		if over(d.mwh, l.DayMWh) && !over(was.mwh, l.DayMWh) {
			breach(i, "day_mwh", l.DayMWh, d.mwh, "day_mwh: with this order %.6g MWh for the day, %v MWh is the most", d.mwh, l.DayMWh)
		}
		if o.Side == order.Buy {
			at := o.Limit
			if t := r.Terms(o.Product); t != nil {
				_, highest := t.Bounds()
				at = min(at, highest)
			}
			d.spend += at.Float() * o.KW.MW() * length(o.Product).Hours()
			if over(d.spend, l.Spend) && !over(was.spend, l.Spend) {
				breach(i, "spend", l.Spend, d.spend, "spend: with this order the buys of the day may cost %.2f, %v is the most", d.spend, l.Spend)
			}
		}
	}
	if l.Battery != nil && l.SoC != "off" {
		judged := orders
		if l.SoC == "awarded" { // all of it, whatever the price
			judged = slices.Clone(orders)
			for i := range judged {
				judged[i].Limit = order.Any(judged[i].Side)
			}
		}
		var why string
		if out.Ranges, why = l.Battery.Envelope(held, judged, length); why != "" {
			breach(-1, "soc", 0, 0, "soc: %s at %s", l.SoC, why)
		}
	}
	if len(losses) > 0 {
		out.Scenarios = len(losses)
		for _, x := range losses {
			out.Expected -= x / float64(len(losses))
		}
		var err error
		if out.VaR, out.CVaR, err = Tail(losses, l.Confidence); err != nil {
			breach(-1, "confidence", 0, l.Confidence, "confidence: %v", err)
		}
		if over(out.VaR, l.VaR) {
			breach(-1, "var", l.VaR, out.VaR, "var: %.2f at risk at %v, %v is the most", out.VaR, l.Confidence, l.VaR)
		}
		if over(out.CVaR, l.CVaR) {
			breach(-1, "cvar", l.CVaR, out.CVaR, "cvar: %.2f on the average of the worst %.3g %%, %v is the most", out.CVaR, 100*(1-l.Confidence), l.CVaR)
		}
	}
	return out
}

var traded = map[order.Side]string{order.Buy: "bought", order.Sell: "sold"}

// over tells whether x is above a limit that is one, by more than rounding.
func over(x, most float64) bool { return most > 0 && x > most*(1+1e-9) }
