// Curves over time, with marks, a key that says the last values, and a table of the same array: a canvas says nothing to whoever
// cannot see it, nor to tests.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { day, number, short, time, timeOfDay } from '../format'
import { isDark, token } from '../theme'

export interface Curve {
  label: string
  /** A token of colour: `--c1` to `--c6`. */
  color: string
  values: Array<number | null>
  /** Where it is another one than the chart's: it is read on the right then. */
  unit?: string
}

/** A value that curves are compared with, drawn across the chart. */
export interface Level { value: number; text: string }

/** A moment that is drawn from top to bottom; its text stands in the table. */
export interface Mark { at: number; kind: keyof typeof MARKED; text: string }

export interface ChartProps {
  title: string
  unit: string
  /** Milliseconds since 1970, rising. */
  at: number[]
  curves: Curve[]
  marks?: Mark[]
  levels?: Level[]
  /** What marks are, where the table has a column of them. */
  marksHead?: string
  /** What to say while there is nothing to draw. */
  empty?: string
  /** At least so high; else the scale follows the values. */
  least?: number
}

const TABLE_ROWS = 120
const MARKED = { publish: '--c4', lockout: '--c5', release: '--c3' } as const
const DAY_S = 86_400

const last = (values: Array<number | null>) => values.findLast(value => value !== null && value !== undefined)

function drawLevels(plot: uPlot, levels: Level[]) {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.strokeStyle = token('--ink-2')
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio])
  for (const { value } of levels) {
    const y = plot.valToPos(value, 'y', true)
    ctx.beginPath()
    ctx.moveTo(bbox.left, y)
    ctx.lineTo(bbox.left + bbox.width, y)
    ctx.stroke()
  }
  ctx.restore()
}

function drawMarks(plot: uPlot, marks: Mark[]) {
  const { ctx, bbox } = plot
  ctx.save()
  for (const mark of marks) {
    const x = plot.valToPos(mark.at / 1000, 'x', true)
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.strokeStyle = ctx.fillStyle = token(MARKED[mark.kind])
    ctx.globalAlpha = mark.kind === 'publish' ? 0.9 : 0.35
    ctx.lineWidth = devicePixelRatio
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    ctx.globalAlpha = 1
    if (mark.kind === 'publish') ctx.fillRect(x - 3 * devicePixelRatio, bbox.top, 6 * devicePixelRatio, 5 * devicePixelRatio)
  }
  ctx.restore()
}

const NO_LEVELS: Level[] = []

export function Chart({ title, unit, at, curves, marks = [], levels = NO_LEVELS, marksHead, empty = 'Nothing yet', least = 1 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const marked = useRef(marks)
  marked.current = marks
  const [hover, setHover] = useState<number | null>(null)
  const [isTable, setTable] = useState(false)
  const dark = isDark.value
  const labels = curves.map(of => of.label + of.color + (of.unit ?? '')).join()
  const right = curves.find(of => of.unit && of.unit !== unit)?.unit
  const drawn = useRef(levels)
  drawn.current = levels
  const highest = Math.max(0, ...levels.map(of => of.value))

  useEffect(() => {
    const node = place.current!
    const ink = token('--ink-3')
    const line = token('--line')
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
    const made = new uPlot({
      // Room for half of the last label of time.
      width: node.clientWidth, height: node.clientHeight, padding: [8, right ? 4 : 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: {
        y: { range: (_, from, to) => [Math.min(0, from ?? 0), Math.max(Math.max(to ?? 0, highest) * 1.08, least)] },
        right: { range: (_, __, to) => [0, Math.max((to ?? 0) * 1.08, 1)] },
      },
      axes: [
        { ...axis, size: 22, space: 70, values: (_, splits, __, ___, step) => splits.map(s => step >= DAY_S ? day(s * 1000) : timeOfDay(s * 1000).slice(0, step < 60 ? 8 : 5)) },
        { ...axis, size: 44, space: 34, values: (_, splits) => splits.map(short) },
        ...(right ? [{ ...axis, scale: 'right', side: 1 as const, size: 48, space: 34, grid: { show: false }, values: (_: uPlot, splits: number[]) => splits.map(short) }] : []),
      ],
      series: [{}, ...curves.map(of => ({ label: of.label, scale: of.unit && of.unit !== unit ? 'right' : 'y', stroke: token(of.color), width: 1.5, points: { show: false }, spanGaps: false }))],
      hooks: {
        draw: [of => { drawMarks(of, marked.current); drawLevels(of, drawn.current) }],
        setCursor: [of => setHover(of.cursor.idx ?? null)],
      },
    }, [[], ...curves.map(() => [])] as uPlot.AlignedData, node)
    plot.current = made
    const sizes = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: node.clientHeight }))
    sizes.observe(node)
    return () => { sizes.disconnect(); made.destroy(); plot.current = null }
  }, [labels, dark, least, highest])

  const data = useMemo(() => [at.map(of => of / 1000), ...curves.map(of => of.values)] as uPlot.AlignedData, [at, curves])
  useEffect(() => { plot.current?.setData(data) }, [data, labels, dark, least, marks, levels])

  const shown = hover !== null && hover < at.length ? hover : null
  const saying = curves.map(of => `${of.label} ${number(last(of.values))} ${of.unit ?? unit}`).join(', ')
  const hasAny = curves.some(of => last(of.values) !== undefined)
  const rows = isTable ? at.map((_, index) => index).slice(-TABLE_ROWS).reverse() : []
  /** What is marked between a point and the one before it. */
  const marksAt = (row: number) => marks.filter(of => of.at <= (row === at.length - 1 ? Infinity : at[row]!) && of.at > (at[row - 1] ?? -Infinity))
  return (
    <figure class="panel chart" aria-label={title}>
      <figcaption>
        <h2>{title}</h2><span class="unit">{unit}</span>
        <button type="button" class="btn plain small" aria-pressed={isTable} aria-label={`${title} as a table`} onClick={() => setTable(!isTable)}>Table</button>
      </figcaption>
      <div class="plot" ref={place} role="img" aria-label={hasAny ? `${title}: ${saying}` : `${title}: ${empty}`}>
        {!hasAny && <span class="none">{empty}</span>}
      </div>
      <div class="key">
        {curves.map(of => (
          <span key={of.label}><i style={{ background: `var(${of.color})` }} />{of.label} <b>{number(shown === null ? last(of.values) : of.values[shown])}</b></span>
        ))}
        {levels.map(of => <span key={of.text}><i class="dash" />{of.text}</span>)}
        {shown !== null && <span class="dim">{time(at[shown]!)}</span>}
      </div>
      {isTable && (
        <div class="table" tabIndex={0} role="region" aria-label={`${title}, the last ${rows.length} of ${at.length} points`}>
          <table class="plain-table">
            <thead><tr><th scope="col">Time</th>{curves.map(of => <th key={of.label} scope="col" class="num">{of.label}, {of.unit ?? unit}</th>)}{marksHead && <th scope="col">{marksHead}</th>}</tr></thead>
            <tbody>{rows.map(row => <tr key={row}><td>{time(at[row]!)}</td>{curves.map(of => <td key={of.label} class="num">{number(of.values[row])}</td>)}{marksHead && <td>{marksAt(row).map(of => of.text).join('; ')}</td>}</tr>)}</tbody>
          </table>
        </div>
      )}
    </figure>
  )
}
