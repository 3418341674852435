// A reliability diagram: how often something happened, beside how often it was said to, group by group, with intervals and a table of the same
// array. Both axes are logarithmic, for most of what is predicted is rare.
import { useState } from 'preact/hooks'
import { count } from '../format'

/** Cases of which about the same was predicted. Shares are from 0 to 1. */
export interface Group { from: number; until: number; cases: number; happened: number; predicted: number; seen: number; low: number; high: number; reading: string; isOff: boolean }
export interface Predicted { name: string; color: string; groups: Group[] }

const [SIZE, LEFT, TOP, RIGHT, BOTTOM] = [340, 48, 10, 12, 38]
/** The least share that the axes tell apart; what is below, and none at all, stands on it. */
const LEAST = 1e-4
const TICKS = [1e-4, 1e-3, 1e-2, 1e-1, 1]
/** How far each of several predictors stands aside, in pixels, so that none hides another. */
const ASIDE = 2

export const percent = (share: number): string => share > 0 && share < 1e-5 ? '<0.001 %' : `${Number((share * 100).toPrecision(share * 100 < 1 ? 2 : 3))} %`
const along = (share: number) => (Math.log10(Math.max(share, LEAST)) - Math.log10(LEAST)) / -Math.log10(LEAST)
const x = (share: number) => LEFT + along(share) * (SIZE - LEFT - RIGHT)
const y = (share: number) => SIZE - BOTTOM - along(share) * (SIZE - TOP - BOTTOM)

function Point({ of: { predicted, seen, low, high }, by, at, among }: { of: Group; by: Predicted; at: number; among: number }) {
  const [left, top] = [x(predicted) + (2 * at - among + 1) * ASIDE, y(seen)]
  const mark = { stroke: `var(${by.color})`, fill: seen > 0 ? `var(${by.color})` : 'var(--surface)' }
  return (
    <g style={{ '--of': `var(${by.color})` }}>
      <line class="whisker" x1={left} x2={left} y1={y(low)} y2={y(high)} />
      {at > 0 ? <rect x={left - 3.5} y={top - 3.5} width={7} height={7} transform={`rotate(45 ${left} ${top})`} style={mark} /> : <circle cx={left} cy={top} r={4} style={mark} />}
    </g>
  )
}

export function Reliability({ title, of, what }: { title: string; of: Predicted[]; what: { cases: string; happened: string } }) {
  const [isTable, setTable] = useState(false)
  const rows = of.flatMap(by => by.groups.map(group => ({ by, group })))
  const saying = rows.map(({ by, group }) => `${by.name} ${percent(group.predicted)}: ${percent(group.seen)}`).join(', ')
  return (
    <div class="reliability">
      <div class="sweep-head">
        <span class="key">{of.map((by, at) => <span key={by.name}><i class={at > 0 ? 'diamond' : 'dot'} style={{ background: `var(${by.color})` }} />{by.name}</span>)}<span><i class="dash" />as predicted</span></span>
        <button type="button" class="btn plain small" aria-pressed={isTable} aria-label={`${title} as a table`} onClick={() => setTable(!isTable)}>Table</button>
      </div>
      {isTable ? (
        <div class="scroll-x" tabIndex={0} role="region" aria-label={`${title}, table`}>
          <table class="plain-table">
            <thead><tr><th scope="col">Model</th><th scope="col">Said</th><th scope="col" class="num">{what.cases}</th><th scope="col" class="num">{what.happened}</th><th scope="col" class="num">Predicted</th><th scope="col" class="num">Seen</th><th scope="col" class="num">95 % interval</th><th scope="col">Reading</th></tr></thead>
            <tbody>{rows.map(({ by, group }) => (
              <tr key={by.name + group.from}>
                <td class="nowrap">{by.name}</td><td class="nowrap">{percent(group.from)} to {percent(group.until)}</td>
                <td class="num">{count(group.cases)}</td><td class="num">{count(group.happened)}</td><td class="num">{percent(group.predicted)}</td><td class="num">{percent(group.seen)}</td>
                <td class="num nowrap">{percent(group.low)} – {percent(group.high)}</td><td><span class={group.isOff ? 'badge warn' : 'badge good'}>{group.reading}</span></td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      ) : (
        <svg viewBox={`0 0 ${SIZE} ${SIZE}`} role="img" aria-label={`${title}, predicted and seen: ${saying}`}>
          {TICKS.map(tick => (
            <g key={tick}>
              <line class="grid-line" x1={x(LEAST)} x2={x(1)} y1={y(tick)} y2={y(tick)} /><line class="grid-line" x1={x(tick)} x2={x(tick)} y1={y(LEAST)} y2={y(1)} />
              <text x={LEFT - 6} y={y(tick) + 3} text-anchor="end">{percent(tick)}</text><text x={x(tick)} y={SIZE - BOTTOM + 14} text-anchor={tick === 1 ? 'end' : 'middle'}>{percent(tick)}</text>
            </g>
          ))}
          <line class="even" x1={x(LEAST)} x2={x(1)} y1={y(LEAST)} y2={y(1)} />
          <text x={(x(LEAST) + x(1)) / 2} y={SIZE - 6} text-anchor="middle">predicted</text>
          <text x={x(LEAST) + 6} y={y(1) + 12}>seen</text>
          {of.map((by, at) => by.groups.map(group => <Point key={by.name + group.from} of={group} by={by} at={at} among={of.length} />))}
        </svg>
      )}
    </div>
  )
}
