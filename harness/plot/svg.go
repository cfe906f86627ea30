package plot

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"slices"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The paper, in points.
const (
	width       = 640
	panelHeight = 128
	margin      = 6
	titleHeight = 20
	fontSize    = 9
)

// WriteSVG draws the figure.
func (f *Figure) WriteSVG(w io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	canvas := vgsvg.New(width, f.height())
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return err
	}
	// The metrics are those of Liberation Sans, which has the widths of Helvetica and
	// Arial; a reader has one of the three.
	_, err := w.Write(bytes.ReplaceAll(out.Bytes(),
		[]byte("font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal"), []byte("font-family:Helvetica,Arial,Liberation Sans,sans-serif")))
	return err
}

func (f *Figure) height() vg.Length {
	return vg.Length(margin + titleHeight + panelHeight*len(f.Panels) + margin)
}

// draw draws the figure on paper of its height.
func (f *Figure) draw(paper draw.Canvas) {
	height := f.height()
	paper.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	paper.FillText(style(fontSize+2, palette[Black]), vg.Point{X: margin + 2, Y: height - margin - fontSize}, f.Title)

	area := draw.Crop(paper, margin, -margin-8, margin, -margin-titleHeight)
	rows := make([][]*gonum.Plot, len(f.Panels))
	low, high := math.Inf(1), math.Inf(-1)
	for i := range f.Panels {
		p := &f.Panels[i]
		lines := p.lines(f.LogX)
		for _, l := range lines {
			for _, run := range l.runs {
				low, high = min(low, run[0].x), max(high, run[len(run)-1].x)
			}
		}
		last := i == len(f.Panels)-1
		g := p.plot(lines)
		g.X.Tick.Marker = ticks{about: 8, blank: !last, log: f.LogX}
		if last {
			g.X.Label.Text = f.X
		}
		rows[i] = []*gonum.Plot{g}
	}
	switch {
	case low > high: // no points
		low, high = 0, 1
	case low == high:
		low, high = low-0.5, high+0.5
	}
	for _, row := range rows {
		row[0].X.Min, row[0].X.Max = low, high
	}
	for i, row := range gonum.Align(rows, draw.Tiles{Rows: len(rows), Cols: 1, PadY: 4}, area) {
		rows[i][0].Draw(row[0])
		f.Panels[i].legend(paper, rows[i][0].DataCanvas(row[0]).Max)
	}
}

// runs is what is drawn of a curve: its points on the axes, between gaps.
type runs struct {
	*Curve
	runs [][]point // none is empty
	low  []point   // lower edge of an area, with one run
}

// lines are the curves of the panel that have something to be drawn.
func (p *Panel) lines(logX bool) (out []runs) {
	for i := range p.Curves {
		c := &p.Curves[i]
		r := runs{Curve: c, runs: split(c.X, c.Y, logX, p.LogY)}
		if c.Low != nil {
			r.runs = [][]point{flat(r.runs)}
			r.low = flat(split(c.X, c.Low, logX, p.LogY))
			if len(r.low) == 0 || len(r.runs[0]) == 0 {
				continue
			}
		}
		if len(r.runs) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// split puts points on the axes and cuts their row at gaps.
func split(x, y []float64, logX, logY bool) (out [][]point) {
	on := func(v float64, log bool) float64 {
		if log {
			return math.Log10(v) // no number for v <= 0, or not a finite one
		}
		return v
	}
	open := false
	for i := range x {
		p := point{on(x[i], logX), on(y[i], logY)}
		switch {
		case !finite(p.x) || !finite(p.y):
			open = false
		case open:
			out[len(out)-1] = append(out[len(out)-1], p)
		default:
			out, open = append(out, []point{p}), true
		}
	}
	return out
}

func flat(runs [][]point) (out []point) {
	for _, r := range runs {
		out = append(out, r...)
	}
	return out
}

// plot makes the plot of a panel.
func (p *Panel) plot(lines []runs) *gonum.Plot {
	g := gonum.New()
	g.BackgroundColor = nil
	for _, a := range []*gonum.Axis{&g.X, &g.Y} {
		a.Label.TextStyle = style(fontSize, palette[Black])
		a.Tick.Label = style(fontSize-1, palette[Black])
		a.LineStyle = draw.LineStyle{Color: palette[Gray], Width: 0.5}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = 3
		a.Padding = 2
	}
	g.X.Label.TextStyle.XAlign, g.Y.Label.TextStyle.XAlign = text.XCenter, text.XCenter
	g.X.Tick.Label.XAlign, g.X.Tick.Label.YAlign = text.XCenter, text.YTop
	g.Y.Tick.Label.XAlign, g.Y.Tick.Label.YAlign = text.XRight, text.YCenter
	g.Y.Label.Text = p.Y
	g.Y.Tick.Marker = ticks{about: 5, log: p.LogY}

	grid := plotter.NewGrid()
	grid.Vertical = draw.LineStyle{Color: color.Gray{Y: 0xe4}, Width: 0.4}
	grid.Horizontal = grid.Vertical
	g.Add(grid)

	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		for _, pt := range append(flat(l.runs), l.low...) {
			low, high = min(low, pt.y), max(high, pt.y)
		}
	}
	if len(lines) == 0 {
		low, high = 0, 1
	}
	pad := 0.04 * (high - low)
	if pad == 0 {
		pad = max(1e-9, 1e-3*math.Abs(high))
	}
	for _, areas := range []bool{true, false} { // areas under lines
		for _, l := range lines {
			if (l.low != nil) == areas {
				l.add(g, high-low+2*pad)
			}
		}
	}
	g.Y.Min, g.Y.Max = low-pad, high+pad
	return g
}

// add draws the runs into a plot that spans height in y.
func (l *runs) add(g *gonum.Plot, height float64) {
	if l.low != nil {
		ring := xys(thin(l.low, height))
		for _, p := range slices.Backward(thin(l.runs[0], height)) {
			ring = append(ring, plotter.XY{X: p.x, Y: p.y})
		}
		g.Add(&plotter.Polygon{XYs: []plotter.XYs{ring}, Color: l.faint()})
		return
	}
	for _, run := range l.runs {
		if l.Style != Points {
			g.Add(&plotter.Line{XYs: xys(thin(run, height)), LineStyle: l.line()})
		}
		if l.Style == Points || l.Style == Marked {
			g.Add(&plotter.Scatter{XYs: xys(run), GlyphStyle: l.dot()})
		}
	}
}

func (c *Curve) line() draw.LineStyle {
	s := draw.LineStyle{Color: palette[c.Color], Width: 1.1}
	switch c.Style {
	case Thin:
		s.Width = 0.6
	case Dashed:
		s.Dashes = []vg.Length{4, 3}
	}
	return s
}

func (c *Curve) dot() draw.GlyphStyle {
	return draw.GlyphStyle{Color: palette[c.Color], Radius: 1.5, Shape: draw.CircleGlyph{}}
}

func (c *Curve) faint() color.Color {
	fill := palette[c.Color]
	fill.A = 0x40
	return fill
}

func xys(pts []point) plotter.XYs {
	out := make(plotter.XYs, len(pts))
	for i, p := range pts {
		out[i] = plotter.XY{X: p.x, Y: p.y}
	}
	return out
}

// legend names the curves of a panel in a row above the upper right corner of its data.
func (p *Panel) legend(paper draw.Canvas, corner vg.Point) {
	label := style(fontSize-1, palette[Black])
	x, y := corner.X, corner.Y+2
	for i := len(p.Curves) - 1; i >= 0; i-- {
		c := &p.Curves[i]
		if c.Name == "" {
			continue
		}
		x -= label.Width(c.Name)
		paper.FillText(label, vg.Point{X: x, Y: y}, c.Name)
		from, to := x-18, x-4
		if c.Low != nil {
			paper.FillPolygon(c.faint(), []vg.Point{{X: from, Y: y}, {X: to, Y: y}, {X: to, Y: y + 6}, {X: from, Y: y + 6}})
		} else {
			if c.Style != Points {
				paper.StrokeLines(c.line(), []vg.Point{{X: from, Y: y + 3}, {X: to, Y: y + 3}})
			}
			if c.Style == Points || c.Style == Marked {
				paper.DrawGlyph(c.dot(), vg.Point{X: (from + to) / 2, Y: y + 3})
			}
		}
		x -= 28
	}
}

// style is text of the given size in points.
func style(size vg.Length, c color.Color) text.Style {
	s := text.Style{Color: c, XAlign: text.XLeft, YAlign: text.YBottom, Handler: gonum.DefaultTextHandler}
	s.Font.Typeface, s.Font.Variant, s.Font.Size = "Liberation", "Sans", size
	return s
}
