// How it goes: the figures of this second, their curves, what was decided in the last day, and what wants a person.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { get } from '../api'
import type { Action } from '../api-types'
import { useFetched } from '../fetching'
import { count, number, words } from '../format'
import { RuleLink } from '../links'
import { query, setQuery } from '../router'
import { useChannel } from '../stream'
import type { Alert, Annotation, History, OverviewNow, OverviewStart, RulesState } from '../stream-types'
import { Chart, type Curve } from '../ui/chart'
import { Figure } from '../ui/figure'
import { Empty, Failed, Loading, Notice, PageHead, Panel, Segments, Time } from '../ui/states'

type Range = '15m' | '24h'
const SECONDS = 900
/** More between two seconds than a slow moment. */
const GAP_MS = 8_000

const LEVELS: Array<[string, string, string]> = [
  ['level_lockout', 'lockout', '--c5'], ['level_quarantine', 'quarantine', '--c2'], ['level_dim', 'dim', '--c4'],
  ['level_cap', 'cap', '--c1'], ['level_limit', 'limit', '--c3'], ['level_watch', 'watch', '--c6'],
]

/** The history with the second that has just come; the columns are new arrays, so that charts see the change. */
function grown(history: History, { at, figures }: OverviewNow['second']): History {
  if ((history.at.at(-1) ?? 0) >= at) return history
  const oldest = at - SECONDS * 1_000
  const inTime = history.at.findIndex(second => second > oldest)
  const cut = Math.max(history.at.length + 1 - SECONDS, inTime < 0 ? history.at.length : inTime)
  const columns: History['figures'] = {}
  for (const name of new Set([...Object.keys(history.figures), ...Object.keys(figures)])) {
    const before = history.figures[name] ?? new Array<null>(history.at.length).fill(null)
    columns[name] = [...before.slice(cut), figures[name] ?? null]
  }
  return { at: [...history.at.slice(cut), at], figures: columns }
}

function byCount(of: Record<string, number>): Array<[string, number]> {
  return Object.entries(of).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
}

const RULE_COLUMNS: Array<[Action, string]> = [['imposed', 'Imposed'], ['raised', 'Raised'], ['confirmed', 'Confirmed'], ['released', 'Released'], ['cured', 'Cured']]

const HELD_BY = ['exceeded', 'suspect', 'stopped'] as const

function Rules({ of, state }: { of: OverviewNow['tallies']['rules']; state: RulesState | undefined }) {
  const heldBy = (rule: string) => HELD_BY.find(by => state?.[by].includes(rule))
  const rows = Object.entries(of).sort((a, b) => (b[1].imposed ?? 0) - (a[1].imposed ?? 0))
  if (rows.length === 0) return <Empty title="No rule has acted in the last day" />
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Rules in the last day, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Rule</th>{RULE_COLUMNS.map(([name, head]) => <th key={name} scope="col" class="num">{head}</th>)}<th scope="col">Budget</th></tr></thead>
        <tbody>{rows.map(([rule, actions]) => (
          <tr key={rule}><td class="nowrap"><RuleLink id={rule} /></td>{RULE_COLUMNS.map(([name]) => <td key={name} class="num">{actions[name] ? count(actions[name]) : <span class="dim">–</span>}</td>)}
            <td class="nowrap">{heldBy(rule) ? <span class="badge bad">{heldBy(rule)}</span> : <span class="dim">within</span>}{actions.over_budget ? <span class="quiet num"> {count(actions.over_budget)} held back</span> : null}</td></tr>
        ))}</tbody>
      </table>
    </div>
  )
}

function Impact({ actions }: { actions: OverviewNow['tallies']['actions'] }) {
  const of = (name: Action) => actions[name] ?? 0
  const rows: Array<[string, number, string]> = [
    ['Released by people', of('released'), 'a person lifted it'],
    ['Cured', of('cured'), 'corrected or grown out of'],
    ['Run out', of('expired'), 'nobody and nothing prolonged it'],
    ['Appealed', of('appealed'), 'the supplier says that it is wrong'],
    ['Appeals turned down', of('appeal_rejected'), 'a person found it right'],
    ['Confirmed', of('confirmed'), 'a person found it right'],
    ['Held back by budgets', of('over_budget'), 'a person looks before it acts'],
  ]
  return <table class="plain-table"><tbody>{rows.map(([name, value, note]) => <tr key={name}><td>{name}<div class="quiet">{note}</div></td><td class="num">{count(value)}</td></tr>)}</tbody></table>
}

function Marks({ of }: { of: Annotation[] }) {
  if (of.length === 0) return <Empty title="Nothing was published or withheld yet" />
  return (
    <ul class="marks" tabIndex={0} aria-label="Publications and lock-outs, newest first">
      {of.map((mark, at) => <li key={`${mark.at}-${at}`}><span class="nowrap dim"><Time at={mark.at} /></span><span class={mark.kind === 'publish' ? 'badge' : 'badge quarantine'}>{mark.kind === 'publish' ? 'publish' : 'withheld'}</span><span class="clip" title={mark.text}>{mark.text}</span></li>)}
    </ul>
  )
}

export default function Overview() {
  const range: Range = query.value.get('range') === '24h' ? '24h' : '15m'
  const start = useFetched(signal => get<OverviewStart>('/console/api/figures', { query: { range }, signal }).then(of => of.data), [range])
  const now = useChannel<OverviewNow>('overview').value
  const alerts = useChannel<Alert[]>('alerts').value ?? start.data?.alerts ?? []
  const rules = useChannel<RulesState>('rules').value
  const [history, setHistory] = useState<History | null>(null)
  // A curve of the other range says nothing of this one.
  useEffect(() => setHistory(start.data?.history ?? null), [start.data])
  // Seconds that were missed, as by a tab that nobody looked at, are asked for; a day is asked for anew with each of its minutes.
  const newest = history?.at.at(-1) ?? 0
  const isGap = range === '15m' && !!now && newest > 0 && now.second.at - newest > GAP_MS
  const isOld = range === '24h' && !!now && newest > 0 && now.second.at - newest > 2 * 60_000
  useEffect(() => { if (isGap || isOld) start.again() }, [isGap, isOld])
  useEffect(() => { if (now && range === '15m' && !isGap) setHistory(was => was && grown(was, now.second)) }, [now, range])

  const marks = useMemo(() => {
    const known = new Map<string, Annotation>()
    for (const mark of [...(start.data?.annotations ?? []), ...(now?.annotations ?? [])]) known.set(`${mark.at}${mark.text}`, mark)
    return [...known.values()].sort((a, b) => b.at - a.at)
  }, [start.data, now?.annotations.length, now?.annotations[0]?.at])

  const curves = useMemo(() => {
    const none: Array<number | null> = []
    const of = (name: string, label: string, color: string): Curve => ({ label, color, values: history?.figures[name] ?? none })
    return {
      flow: [of('events', 'events', '--c1'), of('buyer_requests', 'buyer queries', '--c3')],
      lag: [of('lag', 'records', '--c1')],
      levels: LEVELS.map(([name, label, color]) => of(name, label, color)),
      stock: [of('withheld_units', 'units withheld', '--c5')],
      invisible: [of('invisible_p99', 'p99', '--c2'), of('invisible_p50', 'p50', '--c1')],
      buyer: [of('buyer_p99', 'p99', '--c2'), of('buyer_p50', 'p50', '--c1')],
    }
  }, [history])

  if (start.error && !history) return <><PageHead title="Overview" /><Failed error={start.error} again={start.again} /></>
  const figures: Record<string, number | null | undefined> = now?.second.figures ?? Object.fromEntries(Object.entries(history?.figures ?? {}).map(([name, values]) => [name, values.at(-1)]))
  const at = history?.at ?? []
  const tallies = now?.tallies ?? start.data?.tallies ?? { actions: {}, rules: {}, reasons: {} }
  const restricted = LEVELS.reduce((sum, [name]) => sum + (figures[name] ?? 0), 0)
  const shared = { at, marks }
  return (
    <>
      <PageHead title="Overview">
        <Segments label="Range" value={range} options={[['15m', '15 minutes'], ['24h', '24 hours']]} onChange={value => setQuery({ range: value === '15m' ? null : value })} />
      </PageHead>
      {alerts.map(alert => <Notice key={alert.code + alert.text} kind={alert.severity}>{alert.text}</Notice>)}
      <div class="strip" role="group" aria-label="Figures of this second">
        <Figure name="Events" value={figures.events} unit="/s" />
        <Figure name="Lag" value={figures.lag} unit="records" isBad={(figures.lag ?? 0) > 10_000} />
        <Figure name="Suppliers restricted" value={history || now ? restricted : null} note={`${number(figures.level_lockout ?? 0)} locked out`} />
        <Figure name="Units withheld" value={figures.withheld_units} note={`of ${count(figures.units)} units`} />
        <Figure name="Time to invisible" value={figures.invisible_p99} unit="ms" note={figures.invisible_p50 ? `p99, p50 ${number(figures.invisible_p50)} ms` : 'p99 of 30 s'} />
        <Figure name="Buyers wait" value={figures.buyer_p99} unit="ms" note={figures.buyer_p50 ? `p99, p50 ${number(figures.buyer_p50)} ms` : 'p99 of 30 s'} />
        <Figure name="Reviews open" value={figures.reviews_open} />
      </div>
      {!history ? <Loading lines={10} /> : (
        <div class="grid">
          <Chart title="Events and queries" unit="/s" curves={curves.flow} {...shared} />
          <Chart title="Restricted by level" unit="suppliers" curves={curves.levels} {...shared} />
          <Chart title="Stock withheld" unit="units" curves={curves.stock} {...shared} />
          <Chart title="Event to invisible" unit="ms" curves={curves.invisible} empty="Nothing was withheld in this time" {...shared} />
          <Chart title="Buyers' answers" unit="ms" curves={curves.buyer} empty="No buyer has asked in this time" {...shared} />
          <Chart title="Lag of the slowest fold" unit="records" curves={curves.lag} least={10} {...shared} />
        </div>
      )}
      <div class="grid overview-bottom">
        <Panel title="Rules" note="last 24 hours" class="wide"><Rules of={tallies.rules} state={rules} /></Panel>
        <Panel title="Kinds of evidence" note="last 24 hours">
          {Object.keys(tallies.reasons).length === 0 ? <Empty title="None in the last day" /> : (
            <table class="plain-table"><tbody>{byCount(tallies.reasons).map(([name, value]) => <tr key={name}><td>{words(name)}</td><td class="num">{count(value)}</td></tr>)}</tbody></table>
          )}
        </Panel>
        <Panel title="What came of it" note="last 24 hours"><Impact actions={tallies.actions} /></Panel>
        <Panel title="Publications and lock-outs" note="marked on every curve"><Marks of={marks.slice(0, 200)} /></Panel>
      </div>
    </>
  )
}
