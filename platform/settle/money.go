package settle

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Amount is money in whole units of the rule's last digit, such as cents.
type Amount int64

// Rounding says how an exact amount becomes one of money, and where.
type Rounding struct {
	Digits int    `yaml:"digits" json:"digits"`                                      // of the currency
	Mode   string `yaml:"mode" json:"mode" jsonschema:"enum=half-up,enum=half-even"` // half-up (away from 0) or half-even
	Of     string `yaml:"of" json:"of" jsonschema:"enum=interval,enum=month"`        // interval: each one of a line; month: the sum of a line over a month
}

// exact is the decimal that a number was written as: the shortest that reads as it.
func exact(x float64) *big.Rat {
	r, _ := new(big.Rat).SetString(strconv.FormatFloat(x, 'g', -1, 64))
	return r
}

// most is far beyond any amount of money; sums of many such still fit.
const most = 1 << 53

// Round rounds an exact amount. One beyond all money stays there.
func (r Rounding) Round(x *big.Rat) Amount {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.Digits)), nil)
	n := new(big.Int).Mul(x.Num(), unit)
	rest := new(big.Int)
	n.QuoRem(n, x.Denom(), rest)
	switch c := rest.Lsh(rest.Abs(rest), 1).Cmp(x.Denom()); {
	case c < 0, c == 0 && r.Mode == "half-even" && n.Bit(0) == 0:
	default:
		n.Add(n, big.NewInt(int64(x.Sign())))
	}
	if n.CmpAbs(big.NewInt(most)) > 0 {
		return Amount(n.Sign()) * (most + 1)
	}
	return Amount(n.Int64())
}

// Text is an amount in the currency's unit, with all of its digits.
func (r Rounding) Text(a Amount) string {
	sign := ""
	if a < 0 {
		sign, a = "-", -a
	}
	s := strconv.FormatInt(int64(a), 10)
	if r.Digits == 0 {
		return sign + s
	}
	if n := r.Digits + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	return sign + s[:len(s)-r.Digits] + "." + s[len(s)-r.Digits:]
}

// Parse reads what [Rounding.Text] writes.
func (r Rounding) Parse(text string) (Amount, error) {
	x, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	return r.Round(x), nil
}

// decimal is an exact number for people: up to twelve digits after the point, none that say nothing.
func decimal(x *big.Rat) string {
	s := x.FloatString(12)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
