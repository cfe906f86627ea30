package plot

import (
	"bytes"
	"html/template"
)

// PageStyle is how a page of tables and figures looks that is read in a browser and printed.
const PageStyle = `<style>
body {font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #202020}
table {border-collapse: collapse; margin: 1rem 0} th, td {padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid #ddd}
th:first-child, td:first-child, .text {text-align: left} svg {max-width: 100%; height: auto; break-inside: avoid}
.none {border: 2px solid #c8500a; padding: .5rem 1rem}
@media print {body {margin: 0; max-width: none}}
</style>`

// HTML is the figure as a part of a page.
func (f *Figure) HTML() (template.HTML, error) {
	var b bytes.Buffer
	err := f.WriteSVG(&b)
	return template.HTML(b.String()), err // our own drawing
}
