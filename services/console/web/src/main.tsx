import { render } from 'preact'
import { App } from './app'
import 'uplot/dist/uPlot.min.css'
import './styles/tokens.css'
import './styles/base.css'
import './styles/parts.css'
import './styles/pages.css'
import './theme'

const place = document.getElementById('app')!
place.textContent = ''
render(<App />, place)
