package order_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"yunchu/platform/market/order"
)

// TestFilesAreReadAgain: awards and orders are read as they were written.
func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	const orders = "time,product,side,quantity_mw,price_per_mwh\n2026-03-01T00:15:00Z,energy,buy,1.25,\n2026-03-01T00:15:00Z,regup,sell,0.001,-0.000001\n"
	const awards = "time,minutes,product,side,quantity_mw,price_per_mwh,amount\n2026-03-01T00:15:00Z,15,energy,buy,1.25,33.31091,-10.409659375\n2026-03-01T00:30:00Z,60,reserve,,0,5,0\n"
	var b strings.Builder
	o, err := order.ReadOrders(strings.NewReader(orders))
	if err != nil || order.WriteOrders(&b, o) != nil || b.String() != orders || !o[0].Limit.IsAny() {
		t.Errorf("%v, %v: %s", o, err, b.String())
	}
	b.Reset()
	a, err := order.ReadAwards(strings.NewReader(awards))
	if err != nil || order.WriteAwards(&b, a) != nil || b.String() != awards {
		t.Errorf("%v, %v: %s", a, err, b.String())
	}
	if a, err := order.ReadAwards(strings.NewReader(awards + "2026-03-01T01:15:00+01:00,15,energy,buy,2,33.31091,0\n")); err == nil {
		t.Errorf("two awards of one delivery are %v", a)
	}
	for _, wrong := range []string{"", "time\n", orders + "x\n", orders + "2026-03-01T00:15:00Z,energy,up,1,1\n", orders + "2026-03-01T00:15:00Z,power,buy,1,1\n", orders + "now,energy,buy,1,1\n", orders + "2026-03-01T00:15:00Z,energy,buy,-1,1\n", orders + "2026-03-01T00:15:00Z,energy,buy,1,NaN\n"} {
		if o, err := order.ReadOrders(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q is %v", wrong, o)
		}
	}
}

// FuzzReadOrders: whatever is read is written and read again as the same.
func FuzzReadOrders(f *testing.F) {
	f.Add([]byte("time,product,side,quantity_mw,price_per_mwh\n2026-03-01T00:15:00+01:00,energy,buy,1.25,\n"))
	f.Add([]byte("time,product,side,quantity_mw,price_per_mwh\n0000-01-01T00:00:00Z,regup,sell,1e3,-1e-6\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		orders, err := order.ReadOrders(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := order.WriteOrders(&b, orders); err != nil {
			t.Fatal(err)
		}
		again, err := order.ReadOrders(&b)
		if err != nil || !reflect.DeepEqual(again, orders) {
			t.Errorf("%v\nis read again as %v, %v", orders, again, err)
		}
	})
}
