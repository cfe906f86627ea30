package plot

import (
	"bytes"
	"image/color"
	"io"
	"math"

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
		[]byte("font-family:Liberation Sans;font-variant:none"), []byte("font-family:Helvetica,Arial,Liberation Sans,sans-serif")))
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
	low, high := f.span()
	for i := range f.Panels {
		p := f.Panels[i].draw()
		p.X.Min, p.X.Max = low, high
		last := i == len(f.Panels)-1
		p.X.Tick.Marker = ticks{about: 8, blank: !last}
		if last {
			p.X.Label.Text = f.X
		}
		rows[i] = []*gonum.Plot{p}
	}
	for i, row := range gonum.Align(rows, draw.Tiles{Rows: len(rows), Cols: 1, PadY: 4}, area) {
		rows[i][0].Draw(row[0])
		f.Panels[i].legend(row[0], rows[i][0].DataCanvas(row[0]))
	}
}

// span is the range of all abscissas.
func (f *Figure) span() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range f.Panels {
		for _, c := range p.Curves {
			if n := len(c.X); n > 0 {
				low, high = min(low, c.X[0]), max(high, c.X[n-1])
			}
		}
	}
	return low, high
}

// span is the range of all values.
func (p *Panel) span() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, c := range p.Curves {
		for _, values := range [][]float64{c.Y, c.Low} {
			for _, y := range values {
				if finite(y) {
					low, high = min(low, y), max(high, y)
				}
			}
		}
	}
	return low, high
}

// draw makes the plot of a panel.
func (p *Panel) draw() *gonum.Plot {
	g := gonum.New()
	g.BackgroundColor = color.White
	for _, a := range []*gonum.Axis{&g.X, &g.Y} {
		a.Label.TextStyle = style(fontSize, palette[Black])
		a.Tick.Label = style(fontSize-1, palette[Black])
		a.LineStyle = draw.LineStyle{Color: palette[Gray], Width: 0.5}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = 3
		a.Padding = 2
	}
	g.X.Label.TextStyle.XAlign, g.Y.Label.TextStyle.XAlign = text.XCenter, text.XCenter
	g.Y.Tick.Marker = ticks{about: 4}
	g.X.Tick.Label.XAlign, g.X.Tick.Label.YAlign = text.XCenter, text.YTop
	g.Y.Tick.Label.XAlign, g.Y.Tick.Label.YAlign = text.XRight, text.YCenter
	g.Y.Label.Text = p.Y

	grid := plotter.NewGrid()
	grid.Vertical = draw.LineStyle{Color: color.Gray{Y: 0xe4}, Width: 0.4}
	grid.Horizontal = grid.Vertical
	g.Add(grid)
	low, high := p.span()
	pad := 0.04 * (high - low)
	if pad == 0 {
		pad = max(1e-9, 1e-3*math.Abs(high))
	}
	for _, bands := range []bool{true, false} { // areas under lines
		for i := range p.Curves {
			if c := &p.Curves[i]; (c.Low != nil) == bands {
				c.add(g, high-low+2*pad)
			}
		}
	}
	g.Y.Min, g.Y.Max = low-pad, high+pad
	return g
}

// add draws c into a plot that spans height in y.
func (c *Curve) add(g *gonum.Plot, height float64) {
	if c.Low != nil {
		low, high := thin(c.points(c.Low)[0], height), thin(c.points(c.Y)[0], height)
		ring := xys(low)
		for i := len(high) - 1; i >= 0; i-- {
			ring = append(ring, plotter.XY{X: high[i].x, Y: high[i].y})
		}
		fill := palette[c.Color]
		fill.A = 0x40
		g.Add(&plotter.Polygon{XYs: []plotter.XYs{ring}, Color: fill})
		return
	}
	for _, run := range c.points(c.Y) {
		if c.Style == Points {
			g.Add(&plotter.Scatter{XYs: xys(run), GlyphStyle: draw.GlyphStyle{Color: palette[c.Color], Radius: 1.8, Shape: draw.CircleGlyph{}}})
			continue
		}
		g.Add(&plotter.Line{XYs: xys(thin(run, height)), LineStyle: c.line()})
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

// points are the runs of points between gaps; one at least.
func (c *Curve) points(y []float64) [][]point {
	runs := [][]point{nil}
	for i := range y {
		last := len(runs) - 1
		switch {
		case finite(y[i]):
			runs[last] = append(runs[last], point{c.X[i], y[i]})
		case c.Low == nil && len(runs[last]) > 0:
			runs = append(runs, nil)
		}
	}
	return runs
}

func xys(pts []point) plotter.XYs {
	out := make(plotter.XYs, len(pts))
	for i, p := range pts {
		out[i] = plotter.XY{X: p.x, Y: p.y}
	}
	return out
}

// legend names the curves of a panel in a row above its data, from the right.
func (p *Panel) legend(panel, data draw.Canvas) {
	label := style(fontSize-1, palette[Black])
	x, y := data.Max.X, data.Max.Y+2
	for i := len(p.Curves) - 1; i >= 0; i-- {
		c := &p.Curves[i]
		if c.Name == "" {
			continue
		}
		x -= label.Width(c.Name)
		panel.FillText(label, vg.Point{X: x, Y: y}, c.Name)
		from, to := vg.Point{X: x - 18, Y: y + 3}, vg.Point{X: x - 4, Y: y + 3}
		switch {
		case c.Low != nil:
			fill := palette[c.Color]
			fill.A = 0x40
			panel.FillPolygon(fill, []vg.Point{{X: from.X, Y: y}, {X: to.X, Y: y}, {X: to.X, Y: y + 6}, {X: from.X, Y: y + 6}})
		case c.Style == Points:
			panel.DrawGlyph(draw.GlyphStyle{Color: palette[c.Color], Radius: 1.8, Shape: draw.CircleGlyph{}}, vg.Point{X: x - 8, Y: y + 3})
		default:
			panel.StrokeLines(c.line(), []vg.Point{from, to})
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
