package auction

import (
	"cmp"
	"math"
	"slices"

	"yunchu/platform/market/order"
)

// Offer is one of regulation: what a unit would hold ready, at which price of mileage, and how
// well it has followed.
type Offer struct {
	Party   string
	KW      order.KW
	Price   order.Price
	Index   float64 // K, two digits
	Storage bool
}

// Ranked is what a regulation market comes to.
type Ranked struct {
	Price   order.Price   // paid to all
	Fill    []order.KW    // by offer
	Ranking []order.Price // of each offer, rounded to a millionth; 0: not admitted
	Short   order.KW      // of the demand
}

// Rank awards a demand for regulation in the order of the ranking price
//
//	offer / (K / K_max)
//
// with K_max the best index that is admitted: of two equal ones the better index, then who came
// first. Storage as a whole and each unit have at most their share of the demand. (Hunan, rules
// of 2025-10-24: K >= 0.3, at least 10 MW, storage 40 %, a unit 20 %.)
func Rank(offers []Offer, demand order.KW, r order.Ranking) *Ranked {
	out := &Ranked{Fill: make([]order.KW, len(offers)), Ranking: make([]order.Price, len(offers))}
	least, _ := order.OfMW(r.LeastMW)
	best := int64(0)
	var turn []int
	for i := range offers {
		o := &offers[i]
		if hundredths(o.Index) < hundredths(r.LeastIndex) || hundredths(o.Index) <= 0 || o.KW < least {
			continue
		}
		best = max(best, hundredths(o.Index))
		turn = append(turn, i)
	}
	for _, i := range turn {
		k := hundredths(offers[i].Index)
		out.Ranking[i] = (offers[i].Price*order.Price(best) + order.Price(k)/2) / order.Price(k)
	}
	slices.SortStableFunc(turn, func(a, b int) int {
		x, y := &offers[a], &offers[b] // price/K, without a division
		return cmp.Or(
			cmp.Compare(int64(x.Price)*hundredths(y.Index), int64(y.Price)*hundredths(x.Index)),
			cmp.Compare(hundredths(y.Index), hundredths(x.Index)))
	})
	storage, unit := part(demand, r.StorageShare), part(demand, r.UnitShare)
	left := demand
	for _, i := range turn {
		q := min(offers[i].KW, unit, left)
		if offers[i].Storage {
			q = min(q, storage)
			storage -= q
		}
		if q <= 0 {
			continue
		}
		out.Fill[i] = q
		left -= q
		paid := out.Ranking[i]
		if r.Price == "offer" {
			paid = offers[i].Price
		}
		out.Price = max(out.Price, paid)
	}
	out.Short = left
	return out
}

// hundredths of an index, which has two digits.
func hundredths(k float64) int64 { return int64(math.Round(100 * k)) }

// part is so many percent of a quantity, rounded down; a share of 0 is no limit.
func part(q order.KW, percent float64) order.KW {
	if percent == 0 {
		return q
	}
	return order.KW(math.Floor(float64(q)*percent/100 + 1e-6))
}
