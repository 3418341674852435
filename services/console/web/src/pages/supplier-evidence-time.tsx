// The evidence about a supplier over time: the odds of all tests, or of one with what was seen of it and what peers would have brought,
// with what was decided and the bounds of rules in force.
import { useMemo } from 'preact/hooks'
import { get } from '../api'
import type { Decision, EvidenceOverTime, EvidenceSeries, Feature } from '../api-types'
import { useFetched } from '../fetching'
import { count, words } from '../format'
import { query, setQuery } from '../router'
import { Chart, type Curve, type Level, type Mark } from '../ui/chart'
import { SelectFilter } from '../ui/field'
import { Empty, Failed, Loading, Notice, Panel, Segments, Time } from '../ui/states'

const SPANS: Array<[string, string, number]> = [['1h', '1 h', 1], ['24h', '24 h', 24], ['7d', '7 days', 168], ['30d', '30 days', 720], ['120d', '120 days', 2_880]]
const COLORS = ['--c2', '--c3', '--c4', '--c5', '--c6']
const TOTAL = 'evidence.total'
/** Decisions that begin something, and those that end it, as marks. */
const BEGINS = new Set(['imposed', 'raised'])
const ENDS = new Set(['released', 'expired', 'cured', 'unlinked', 'allowed', 'lowered'])

const greatest = (values: Array<number | null>) => values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0)
const nameOf = (features: Map<string, Feature>, name: string) => name === TOTAL ? 'all tests together' : features.get(name)?.counted ?? name

/** The curves: of all tests those that stand out most, or of one its odds beside its exposure. */
function curvesOf(told: EvidenceOverTime, test: string | null, features: Map<string, Feature>): Curve[] {
  const by = new Map(told.series.map(of => [of.feature, of]))
  const curve = (of: EvidenceSeries, label: string, color: string, unit?: string): Curve => ({ label, color, unit, values: of.values })
  const chosen = test && by.get(test)
  if (chosen) {
    const seen = chosen.seen && by.get(chosen.seen)
    const expected = chosen.expected && by.get(chosen.expected)
    return [curve(chosen, 'odds', '--c1'), ...(seen ? [curve(seen, 'seen', '--c2', 'counted')] : []), ...(expected ? [curve(expected, 'peers would have brought', '--c6', 'counted')] : [])]
  }
  const total = by.get(TOTAL)
  const tests = told.series.filter(of => of.seen && greatest(of.values) > 0).sort((a, b) => greatest(b.values) - greatest(a.values)).slice(0, COLORS.length)
  return [...(total ? [curve(total, nameOf(features, TOTAL), '--c1')] : []), ...tests.map((of, at) => curve(of, nameOf(features, of.feature), COLORS[at]!))]
}

function marksOf(decisions: Decision[]): Mark[] {
  return decisions.flatMap((of): Mark[] => {
    const kind = BEGINS.has(of.action) ? 'lockout' : ENDS.has(of.action) ? 'release' : null
    return kind ? [{ at: Date.parse(of.at), kind, text: `${of.restriction?.level ?? ''} ${words(of.action)}${of.restriction?.rule ? `, ${of.restriction.rule.id}` : of.actor ? ` by ${of.actor}` : ''}`.trim() }] : []
  })
}

export function EvidenceTime({ id, features, decisions }: { id: string; features: Map<string, Feature>; decisions: Decision[] }) {
  const test = query.value.get('test')
  const span = SPANS.find(([name]) => name === query.value.get('span')) ?? SPANS[2]!
  // A decision is the sign that evidence has grown.
  const revision = decisions[0]?.at
  const found = useFetched(signal => get<EvidenceOverTime>(`/v1/suppliers/${encodeURIComponent(id)}/evidence`, {
    query: { since: new Date(Date.now() - span[2] * 3_600_000).toISOString() }, signal,
  }).then(of => of.data), [id, span[0]], [revision])
  const told = found.data
  const at = useMemo(() => told?.at.map(of => Date.parse(of)) ?? [], [told])
  const curves = useMemo(() => told ? curvesOf(told, test, features) : [], [told, test, features])
  const marks = useMemo(() => marksOf(decisions), [decisions])
  const levels = useMemo((): Level[] => (told?.bounds ?? []).filter(of => of.feature === (test ?? TOTAL))
    .map(of => ({ value: of.bound, text: `${of.rule} ${of.sign} ${of.bound}${of.mode === 'live' ? '' : `, ${of.mode}`}` })), [told, test])
  const tests = useMemo(() => (told?.series ?? []).filter(of => of.seen).map((of): [string, string] => [of.feature, nameOf(features, of.feature)]), [told, features])
  return (
    <Panel title="Evidence over time" action={<Segments label="Span" value={span[0]} options={SPANS.map(([name, text]) => [name, text] as [string, string])} onChange={name => setQuery({ span: name === '7d' ? null : name })} />}>
      {found.isLoading ? <Loading lines={8} /> : !told ? <Failed error={found.error!} again={found.again} /> : told.vectors === 0
        ? <Empty title="Nothing in this span"><p>{told.skipped > 0 ? 'What is kept of that time was scored with other features or windows, which cannot be compared with those in force.' : 'Choose a longer one: a point is made by each event of the supplier.'}</p></Empty>
        : <div class="evidence-time">
          {found.error && <Notice kind="low">What is shown is of before: {found.error.title}. {found.error.detail}</Notice>}
          <div class="filters"><SelectFilter name="test" label="Test" options={tests} /><span class="quiet">{count(told.vectors)} scores{at.length < told.vectors ? `, shown by ${count(at.length)} points that keep the least and the greatest` : ''}{told.skipped > 0 ? `; ${count(told.skipped)} of other features or windows are left out` : ''}</span></div>
          {told.from && <Notice kind="info">Shown from <Time at={told.from} /> on: before that lies more than is read for one answer. Choose a shorter span for less.</Notice>}
          <Chart title={test ? nameOf(features, test) : 'Odds by test'} unit="powers of ten" at={at} curves={curves} marks={marks} levels={levels} marksHead="Decided" />
          <p class="quiet pad">Upright lines are decisions: what began, and in another colour what ended; the table names them.{levels.length > 0 ? ' Dashed lines are bounds of rules in force on what is shown; a rule may ask for more than that.' : ''}</p>
        </div>}
    </Panel>
  )
}
