// What other bounds of a rule would have done: a curve for each test of the rule, and a table of the same array.
import { useState } from 'preact/hooks'
import { count, number, short } from '../format'
import { Empty } from '../ui/states'

export interface SweepPoint { test: string; bound: number; moved: number; suppliers: number }

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [300, 120, 34, 8, 18]

function Curve({ test, bound, points, most }: { test: string; bound: number; points: Array<{ moved: number; suppliers: number }>; most: number }) {
  const [low, high] = [points[0]!.moved, points.at(-1)!.moved]
  const x = (moved: number) => LEFT + (high > low ? (moved - low) / (high - low) : 0.5) * (WIDTH - LEFT - 8)
  const y = (suppliers: number) => TOP + (1 - suppliers / most) * (HEIGHT - TOP - BOTTOM)
  const saying = points.map(of => `${number(of.moved)}: ${count(of.suppliers)}`).join(', ')
  return (
    <figure class="sweep">
      <figcaption class="mono">{test}</figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Suppliers hit by the bound of ${test}: ${saying}`}>
        {[0, most / 2, most].map(tick => <g key={tick}><line class="grid-line" x1={LEFT} x2={WIDTH - 8} y1={y(tick)} y2={y(tick)} />{Number.isInteger(tick) && <text x={LEFT - 5} y={y(tick) + 3} text-anchor="end">{short(tick)}</text>}</g>)}
        <line class="bound" x1={x(bound)} x2={x(bound)} y1={TOP} y2={HEIGHT - BOTTOM} />
        <polyline class="curve" points={points.map(of => `${x(of.moved)},${y(of.suppliers)}`).join(' ')} />
        {points.map(of => <circle key={of.moved} class={of.moved === bound ? 'point now' : 'point'} cx={x(of.moved)} cy={y(of.suppliers)} r={of.moved === bound ? 4 : 3} />)}
        <text x={x(low)} y={HEIGHT - 4} text-anchor="start">{short(low)}</text><text x={x(high)} y={HEIGHT - 4} text-anchor="end">{short(high)}</text>
        {x(bound) > x(low) + 40 && x(bound) < x(high) - 40 && <text x={x(bound)} y={HEIGHT - 4} text-anchor="middle" class="now">{short(bound)}</text>}
      </svg>
    </figure>
  )
}

export function Sweep({ of, now }: { of: SweepPoint[]; now: number }) {
  const [isTable, setTable] = useState(false)
  if (of.length === 0) return <Empty title="It has no bound to move"><p>Only comparisons of a feature with a number are moved.</p></Empty>
  const tests = [...new Set(of.map(point => point.test))].map(test => {
    const own = of.filter(point => point.test === test)
    const bound = own[0]!.bound
    // As written it hits what the rule hits.
    const points = [...own.filter(point => point.moved !== bound).map(({ moved, suppliers }) => ({ moved, suppliers })), { moved: bound, suppliers: now }].sort((a, b) => a.moved - b.moved)
    return { test, bound, points }
  })
  const highest = Math.max(1, ...tests.flatMap(({ points }) => points.map(point => point.suppliers)))
  const most = highest % 2 === 0 ? highest : highest + 1
  return (
    <div class="sweeps">
      <div class="sweep-head"><span class="quiet">Suppliers hit, by where each bound stands; the line marks where it is</span><button type="button" class="btn plain small" aria-pressed={isTable} aria-label="Other bounds as a table" onClick={() => setTable(!isTable)}>Table</button></div>
      {isTable ? (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Other bounds, table">
          <table class="plain-table">
            <thead><tr><th scope="col">Test</th><th scope="col" class="num">Bound</th><th scope="col" class="num">Suppliers</th><th scope="col" class="num">Difference</th></tr></thead>
            <tbody>{tests.flatMap(({ test, bound, points }) => points.map(point => (
              <tr key={test + point.moved}><td class="mono">{test}</td><td class="num">{number(point.moved)}{point.moved === bound && <span class="dim"> now</span>}</td><td class="num">{count(point.suppliers)}</td><td class="num">{point.suppliers > now ? '+' : ''}{count(point.suppliers - now)}</td></tr>
            )))}</tbody>
          </table>
        </div>
      ) : <div class="sweep-grid">{tests.map(one => <Curve key={one.test} {...one} most={most} />)}</div>}
    </div>
  )
}
