//go:build !nosim

package shadow

import "fmt"

func (s *Shadow) Debug() string {
	v := &s.voltage
	r := &v.up
	return fmt.Sprintf("soc %.3f rho %.3f sd %.3f level %.2f nis %.3f scale %.3f before %.2f up %.1f n %.1f s %.0f shift %.2f SS %.1f ohm %.1f quick %.1f", s.twin.cell.SoC(), v.reg.theta[1], v.reg.sigma(1), v.reg.theta[0]*1e3, v.nis, v.scale, v.before*1e3, r.sum*1e3, r.n, r.seconds, r.shift()*1e3, 1e6*r.shifts*r.shifts/r.n, 1e6*r.ohmic.explains(), 1e6*r.quick.explains())
}
