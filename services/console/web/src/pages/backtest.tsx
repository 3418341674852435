// What a rule set would have done in the past: how far it is, whom it would have hit, what became of them, and what other bounds would do.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, del, get, post } from '../api'
import type { Backtest, BacktestReport, RuleBacktest, RulesExplained } from '../api-types'
import { useFetched } from '../fetching'
import { count, number, words } from '../format'
import { SupplierLink } from '../links'
import { query, setQuery } from '../router'
import { useChannel } from '../stream'
import type { RulesState } from '../stream-types'
import { SelectField, TextField } from '../ui/field'
import { Figure } from '../ui/figure'
import { Empty, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'
import { draft, keep, rulesInForce } from './rules-draft'
import { withExample } from './rules-text'
import { Sweep, type SweepPoint } from './sweep'

interface First { supplier: string; at: string; snapshots: number; outcome: string }
interface Overlap { rule: string; mode: string; both: number; only_this: number; only_other: number }

/** How often a running one is asked how far it is. */
const EVERY_MS = 700
const SHOWN = 200
const OUTCOMES: Array<[string, string, string]> = [
  ['confirmed', 'Confirmed', 'a person found a restriction right'], ['fraud_later', 'Fraud later', 'fraud was found afterwards'],
  ['released', 'Released', 'a person found it wrong'], ['unknown', 'Unknown', 'nobody looked'],
]
const isOver = (of: Backtest) => !['running', 'cancelling'].includes(of.state)

/** A backtest, asked again until it is over. */
function useJob(job: string | null) {
  const [of, setOf] = useState<{ job?: Backtest; error?: ApiError }>({})
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    if (!job) return setOf({})
    const stop = new AbortController()
    let planned: number | undefined
    const ask = () => get<Backtest>(`/v1/backtests/${encodeURIComponent(job)}`, { signal: stop.signal }).then(
      ({ data }) => {
        setOf({ job: data })
        if (!isOver(data)) planned = setTimeout(ask, EVERY_MS) as unknown as number
      },
      (error: unknown) => { if (!stop.signal.aborted) setOf(was => ({ ...was, error: error as ApiError })) },
    )
    void ask()
    return () => { stop.abort(); clearTimeout(planned) }
  }, [job, turn])
  return { ...of, again: () => setTurn(was => was + 1) }
}

function Begin() {
  const state = useChannel<RulesState>('rules').value
  const set = useFetched(rulesInForce, [], [state?.version])
  const own = draft()
  const [what, setWhat] = useState<'draft' | 'force'>(own ? 'draft' : 'force')
  const [days, setDays] = useState('30')
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  const begin = (event: Event) => {
    event.preventDefault()
    setBusy(true)
    const source = what === 'draft' && own ? own.text : set.data?.source
    post<Backtest>('/v1/rules:backtest', { days: Number(days), source }).then(
      ({ data }) => { setError(null); setQuery({ job: data.job, rule: null, of: what === 'draft' ? 'draft' : null }) }, (failed: ApiError) => setError(failed),
    ).finally(() => setBusy(false))
  }
  return (
    <Panel title="Try a set on the past" note="nothing changes">
      <form class="body backtest-form" onSubmit={begin}>
        <SelectField name="what" label="Set" value={what} onChange={value => setWhat(value as 'draft' | 'force')}
          options={[...(own ? [['draft', `what you are writing, on ${own.base}`] as [string, string]] : []), ['force', `in force${set.data ? `, ${set.data.version}` : ''}`]]} />
        <TextField name="days" label="Days back" type="number" value={days} onInput={setDays} error={error?.field('days')} />
        <button type="submit" class="btn main" disabled={isBusy || !set.data}>Begin</button>
        <a class="btn" href="/console/rules/edit">Edit the set</a>
      </form>
      {error && !error.field('days') && <div class="body"><Notice kind="high">{error.title}: {error.detail}</Notice></div>}
    </Panel>
  )
}

function Progress({ of, onCancel }: { of: Backtest; onCancel: () => void }) {
  const share = of.records > 0 ? Math.min(1, of.records_done / of.records) : 0
  return (
    <Panel title={of.state === 'cancelling' ? 'Ending' : 'Reading the past'} action={<button type="button" class="btn small danger" disabled={of.state !== 'running'} onClick={onCancel}>Cancel</button>}>
      <div class="body backtest-progress"><progress max={1} value={share} aria-label="How far the backtest is" /><span class="num">{count(of.records_done)} of {of.records > 0 ? count(of.records) : '…'} records</span></div>
    </Panel>
  )
}

function RulesHit({ rules, chosen }: { rules: RuleBacktest[]; chosen?: string }) {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Hits by rule, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Rule</th><th scope="col" class="num" title="Suppliers it would have hit">Hits</th><th scope="col">Level</th>{OUTCOMES.map(([name, head, title]) => <th key={name} scope="col" class="num" title={title}>{head}</th>)}</tr></thead>
        <tbody>{rules.map(of => (
          <tr key={of.rule} class={of.rule === chosen ? 'chosen' : undefined}>
            <td class="nowrap"><button type="button" class="link mono" aria-pressed={of.rule === chosen} onClick={() => setQuery({ rule: of.rule })}>{of.rule}</button>{of.mode !== 'live' && <span class="quiet"> {of.mode}</span>}</td>
            <td class="num strong">{count(of.suppliers)}</td><td><LevelBadge level={of.level} /></td>
            {OUTCOMES.map(([name]) => <td key={name} class="num">{of.outcomes[name] ? count(of.outcomes[name]) : <span class="dim">–</span>}</td>)}
          </tr>
        ))}</tbody>
      </table>
    </div>
  )
}

function Hits({ of, isDraft }: { of: RuleBacktest; isDraft: boolean }) {
  const first = of.first as First[]
  /** The values that the rule reads of the supplier now, kept as what the rule must go on saying of them. */
  const save = async (supplier: string) => {
    try {
      const set = await rulesInForce()
      const own = (isDraft && draft()) || { text: set.source, base: set.version, baseText: set.source }
      const { data } = await post<RulesExplained>('/v1/rules:explain', { supplier, rule: of.rule, source: own.text })
      const said = data.rules[0]
      const text = said && withExample(own.text, of.rule, { name: `like ${supplier}`, given: said.values, expect: said.truth })
      if (!text) return toast('This rule was not found in the text of the set.', { isBad: true })
      keep({ ...own, text })
      toast(`Kept as an example in what you are writing: with the values of ${supplier} now, the rule ${said.truth === 'true' ? 'holds' : said.truth === 'false' ? 'does not hold' : 'knows too little'}.`)
    } catch (error) { toastError(error) }
  }
  if (first.length === 0) return <Empty title="It would have hit nobody" />
  return (
    <div class="backtest-hits" tabIndex={0} role="region" aria-label="Suppliers it would have hit, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Supplier</th><th scope="col">First</th><th scope="col" class="num">Times</th><th scope="col">Later</th><th scope="col"><span class="hidden-visually">Example</span></th></tr></thead>
        <tbody>{first.slice(0, SHOWN).map(hit => (
          <tr key={hit.supplier}><td><SupplierLink id={hit.supplier} /></td><td class="nowrap"><Time at={hit.at} /></td><td class="num">{count(hit.snapshots)}</td><td>{words(hit.outcome)}</td>
            <td><button type="button" class="btn small" aria-label={`Save ${hit.supplier} as an example`} title="With its values as they are now" onClick={() => void save(hit.supplier)}>Save</button></td></tr>
        ))}</tbody>
      </table>
      {of.suppliers > Math.min(SHOWN, first.length) && <p class="body quiet">The first {count(Math.min(SHOWN, first.length))} of {count(of.suppliers)}.</p>}
    </div>
  )
}

function Overlaps({ of }: { of: RuleBacktest }) {
  const overlap = (of.overlap as Overlap[]).filter(one => one.both > 0)
  if (overlap.length === 0) return <Empty title="No rule in force hits any of them" />
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Overlap, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Rule in force</th><th scope="col">Mode</th><th scope="col" class="num">Both</th><th scope="col" class="num">Only this</th><th scope="col" class="num">Only that</th></tr></thead>
        <tbody>{overlap.map(one => <tr key={one.rule}><td class="mono nowrap">{one.rule}</td><td>{one.mode}</td><td class="num">{count(one.both)}</td><td class="num">{count(one.only_this)}</td><td class="num">{count(one.only_other)}</td></tr>)}</tbody>
      </table>
    </div>
  )
}

function Report({ of, isDraft }: { of: BacktestReport; isDraft: boolean }) {
  const rules = useMemo(() => [...of.rules].sort((a, b) => b.suppliers - a.suppliers), [of])
  const chosen = rules.find(one => one.rule === query.value.get('rule')) ?? rules[0]
  return (
    <>
      <div class="strip" role="group" aria-label="Figures of the backtest">
        <Figure name="Would be withheld" value={of.withheld} unit="suppliers" note={`of ${count(of.suppliers)} suppliers`} />
        <Figure name="By the rules in force" value={of.withheld_by_rules_in_force} unit="suppliers" />
        <Figure name="By both" value={of.withheld_by_both} unit="suppliers" />
        <Figure name="Newly withheld" value={of.withheld - of.withheld_by_both} unit="suppliers" />
        <Figure name="No longer withheld" value={of.withheld_by_rules_in_force - of.withheld_by_both} unit="suppliers" />
        <Figure name="Honest among them" value={of.honest_withheld} unit="suppliers" note="as people found" isBad={of.honest_withheld > 0} />
      </div>
      <p class="quiet backtest-note">Version <span class="mono">{of.version}</span>, since <Time at={of.since} />: {count(of.snapshots)} snapshots from {of.source} in {number(of.seconds)} s{of.skipped > 0 ? `; ${count(of.skipped)} of other features say nothing here` : ''}.</p>
      <div class="backtest-report">
        <Panel title="Hits by rule" note="by what became of the suppliers"><RulesHit rules={rules} chosen={chosen?.rule} /></Panel>
        {chosen && (
          <div class="backtest-chosen">
            <Panel title={`Other bounds of ${chosen.rule}`}><Sweep of={chosen.sweep as SweepPoint[]} now={chosen.suppliers} /></Panel>
            <Panel title={`Whom ${chosen.rule} would have hit`}><Hits of={chosen} isDraft={isDraft} /></Panel>
            <Panel title={`Overlap of ${chosen.rule}`} note="with rules in force"><Overlaps of={chosen} /></Panel>
          </div>
        )}
      </div>
    </>
  )
}

export default function BacktestPage() {
  const id = query.value.get('job')
  const { job, error, again } = useJob(id)
  const cancel = () => { if (id) del<Backtest>(`/v1/backtests/${encodeURIComponent(id)}`).then(() => { toast('The backtest ends.'); again() }, toastError) }
  return (
    <>
      <PageHead title="Backtest" note={job ? <span data-testid="state">{job.state}, asked for by {job.actor}</span> : undefined} />
      <div class="backtest"><Begin />
        {id && error && <Panel title="This backtest"><Failed error={error} again={again} /></Panel>}
        {id && !job && !error && <Loading lines={4} />}
        {job && !isOver(job) && <Progress of={job} onCancel={cancel} />}
        {job?.state === 'failed' && <Notice kind="high">It failed: {job.error ?? 'the server says no more.'} Begin it again, or look at the server's log.</Notice>}
        {job?.state === 'cancelled' && <Notice kind="info">It was ended after {count(job.records_done)} records and says nothing.</Notice>}
        {!id && <Empty title="No backtest is shown"><p>Begin one above. Its address can be shared for as long as the server keeps it.</p></Empty>}
      </div>
      {job?.report && <Report of={job.report} isDraft={query.value.get('of') === 'draft'} />}
    </>
  )
}
