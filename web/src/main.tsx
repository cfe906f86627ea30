import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import './style.css'
import { begin } from './state/session.ts'
import { App } from './ui/app.tsx'

begin()
render(<App />, document.getElementById('app')!)
