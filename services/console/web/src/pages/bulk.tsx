// Takes back all that one rule did since a time, after a count, by one call: the arbiter goes on by itself, a decision each.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, get } from '../api'
import type { RuleSetInForce } from '../api-types'
import { putBack, subjectOf } from '../decide/act'
import { useFetched } from '../fetching'
import { count, words } from '../format'
import { explains, RuleLink, SupplierLink } from '../links'
import { query, setQuery } from '../router'
import { useDecisions, type Row } from '../stream'
import { TextField } from '../ui/field'
import { Figure } from '../ui/figure'
import { Dialog } from '../ui/dialog'
import { Empty, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Segments, Time } from '../ui/states'
import { toast } from '../ui/toast'
import { VirtualTable, type Column } from '../ui/virtual-table'
import { each, find, follow, PAGES_MAX, restore, type Held } from './bulk-act'

type Since = '1h' | '6h' | '24h' | '7d'
const HOURS: Record<Since, number> = { '1h': 1, '6h': 6, '24h': 24, '7d': 168 }
const TOLD_MAX = 20

const COLUMNS: Array<Column<Held>> = [
  { name: 'since', head: 'Since', width: '100px', cell: ({ of }) => <Time at={of.since} /> },
  { name: 'level', head: 'Level', width: '90px', cell: ({ of }) => <LevelBadge level={of.level} /> },
  { name: 'supplier', head: 'Supplier', width: 'minmax(90px, 1fr)', cell: ({ supplier }) => <SupplierLink id={supplier} /> },
  { name: 'scope', head: 'Covers', width: 'minmax(110px, 1fr)', from: 480, cell: ({ of }) => subjectOf(of.scope) },
  { name: 'reason', head: 'Evidence', width: 'minmax(120px, 1.4fr)', from: 640, cell: ({ of }) => of.reasons.map(words).join(', ') },
  { name: 'confirmed', head: 'Confirmed', width: '92px', from: 760, cell: ({ of }) => of.confirmed?.actor ?? <span class="dim">no</span> },
  { name: 'id', head: '', width: '64px', from: 440, cell: ({ of }) => <a href={explains(of.id)}>Explain</a> },
]

/** How far the act, or its undo, is. */
interface Progress { kind: 'restore' | 'undo'; rule: string; all?: number; done: number; kept: number; isStopped: boolean; failed: Array<{ row: Held; error: ApiError }>; isRunning: boolean }

function Told({ of }: { of: Progress }) {
  const { kind, all, done, failed, isRunning, kept } = of
  const ended = kind === 'restore' && !isRunning && all !== undefined ? all - done : 0
  const word = kind === 'undo' ? 'put back' : 'released'
  const end = isRunning ? '' : kind === 'undo' && done + failed.length < (all ?? 0) ? '; stopped' : '; done'
  return (
    <>
      {all !== undefined && <progress max={Math.max(all, 1)} value={all === 0 ? 1 : done + failed.length + ended} aria-label={`${word} so far`} />}
      <p role="status" data-testid="progress">{count(done)}{all !== undefined && ` of ${count(all)}`} {word}{failed.length > 0 && `, ${count(failed.length)} refused`}{ended > 0 && `, ${count(ended)} had ended by themselves`}{kept > 0 && `, ${count(kept)} stay because a person confirmed them`}{end}.</p>
      {of.isStopped && <p>The rule <RuleLink id={of.rule} /> does nothing until it is rearmed, on its page.</p>}
      {failed.slice(0, TOLD_MAX).map(({ row, error }) => <p key={row.of.id} class="quiet"><code>{row.of.id}</code> of <code>{row.supplier}</code>: {error.detail || error.title} <code>{error.code}</code></p>)}
    </>
  )
}

export default function Bulk() {
  const rule = query.value.get('rule') ?? ''
  const asked = query.value.get('since')
  const since: Since = asked && asked in HOURS ? asked as Since : '24h'
  const withConfirmed = query.value.get('confirmed') === 'yes'
  const rules = useFetched(signal => get<RuleSetInForce>('/v1/rules', { signal }).then(of => of.data.rules.map(one => one.id)), [])
  const from = useMemo(() => Date.now() - HOURS[since] * 3_600_000, [since, rule])
  const [progress, setProgress] = useState<Progress | null>(null)
  const isBusy = progress?.isRunning === true
  const found = useFetched(signal => rule ? find(rule, from, signal) : Promise.resolve({ rows: [], isCut: false, excess: 0 }), [rule, from])
  const [isSure, setSure] = useState(false)
  const [isSending, setSending] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const [reason, setReason] = useState('')
  const [stop, setStop] = useState(false)
  const isOver = useRef(false)
  useEffect(() => () => { isOver.current = true }, [])

  // What the rule does meanwhile is counted as well, but not while releases come back as decisions themselves.
  const busy = useRef(isBusy)
  busy.current = isBusy
  const planned = useRef<number | undefined>(undefined)
  useDecisions(useCallback((rows: Row[]) => {
    if (busy.current || planned.current || !rows.some(row => row.rule === rule)) return
    planned.current = setTimeout(() => { planned.current = undefined; found.again() }, 1_000) as unknown as number
  }, [rule]))
  useEffect(() => () => clearTimeout(planned.current), [])

  const fitting = useMemo(() => (found.data?.rows ?? []).filter(row => withConfirmed || !row.of.confirmed), [found.data, withConfirmed])
  const suppliers = new Set(fitting.map(row => row.supplier)).size
  const skipped = (found.data?.rows.length ?? 0) - fitting.length
  const excess = found.data?.excess ?? 0
  const isAny = fitting.length + excess > 0

  const undo = async (rows: Held[]) => {
    isOver.current = false
    const state: Progress = { kind: 'undo', rule, all: rows.length, done: 0, kept: 0, isStopped: false, failed: [], isRunning: true }
    const show = () => setProgress({ ...state, failed: [...state.failed] })
    show()
    await each(rows, () => isOver.current, row => putBack(row.supplier, row.of)(), (row, error) => {
      if (error) state.failed.push({ row, error })
      else state.done++
      show()
    })
    state.isRunning = false
    show()
    found.again()
  }
  const begin = async () => {
    if (isSending) return
    setSending(true)
    setError(null)
    const begun = Date.now()
    try {
      const act = await restore(rule, { since: from, confirmed: withConfirmed, stop, reason })
      setSure(false)
      setReason('')
      setStop(false)
      isOver.current = false
      const state: Progress = { kind: 'restore', rule, all: act.all, done: 0, kept: act.kept, isStopped: act.isStopped, failed: [], isRunning: true }
      setProgress({ ...state })
      // What began after it is not its concern.
      const left = async () => (await find(rule, from, new AbortController().signal)).rows.filter(row => (withConfirmed || !row.of.confirmed) && Date.parse(row.of.since) < begun).length
      const decided = await follow(act, begun - 60_000, () => isOver.current, left, done => { state.done = done; setProgress({ ...state }) })
      if (isOver.current) return
      state.isRunning = false
      setProgress({ ...state })
      found.again()
      const rows = decided.flatMap(({ action, supplier, restriction }) => action === 'released' && restriction ? [{ supplier, of: restriction }] : [])
      if (decided.length > 0) toast(`${count(rows.length)} released`, rows.length > 0 ? { undo: () => void undo(rows) } : {})
    } catch (refused) {
      const told = refused instanceof ApiError ? refused : new ApiError(0, 'page_failed', 'This page failed', String(refused))
      setError(told)
      // The act is kept and goes on; only how far it is can no longer be told.
      setProgress(null)
    } finally {
      setSending(false)
    }
  }
  return (
    <>
      <PageHead title="Release in bulk" note="all that one rule did since a time">
        <button type="button" class="btn danger" disabled={isBusy || !isAny} onClick={() => { setError(null); setSure(true) }}>Release {count(fitting.length)}</button>
      </PageHead>
      <div class="filters">
        <select class="select" aria-label="Rule" value={rule} disabled={isBusy} onChange={event => setQuery({ rule: event.currentTarget.value })}>
          <option value="">Choose a rule</option>
          {[...new Set([...(rules.data ?? []), ...(rule ? [rule] : [])])].map(id => <option key={id} value={id}>{id}</option>)}
        </select>
        <Segments label="Since" value={since} options={[['1h', '1 hour'], ['6h', '6 hours'], ['24h', '1 day'], ['7d', '7 days']]} onChange={value => { if (!isBusy) setQuery({ since: value === '24h' ? null : value }) }} />
        <label class="tick"><input type="checkbox" checked={withConfirmed} disabled={isBusy} onChange={event => setQuery({ confirmed: event.currentTarget.checked ? 'yes' : null })} /> also what a person confirmed</label>
      </div>
      {error && !isSure && <Notice kind="high" action={<button type="button" class="btn small" onClick={() => setError(null)}>Understood</button>}>{error.title}: {error.detail}</Notice>}
      {progress && (
        <Panel title={progress.kind === 'undo' ? isBusy ? 'Undoing' : 'Undone' : isBusy ? 'Releasing' : 'Released'} class="bulk-progress"
          action={!isBusy ? <button type="button" class="btn small" onClick={() => setProgress(null)}>Close</button> : progress.kind === 'undo' ? <button type="button" class="btn small" onClick={() => { isOver.current = true }}>Stop</button> : undefined}>
          <div class="body stack"><Told of={progress} /></div>
        </Panel>
      )}
      {!rule ? <Panel title="Which rule?"><Empty title="Choose a rule"><p>Then everything that it imposed since the time and that is still in force is counted and listed, before anything happens.</p></Empty></Panel>
        : found.isLoading ? <Loading lines={8} />
          : found.error && !found.data ? <Failed error={found.error} again={found.again} /> : <>
            {found.data!.isCut && <Notice kind="low">So many decisions were made since then that only the last {count(PAGES_MAX * 500)} were counted. All of them are released.</Notice>}
            <div class="strip" role="group" aria-label="What would be released">
              <Figure name="Restrictions in force" value={fitting.length} note={skipped > 0 ? `and ${count(skipped)} that a person confirmed` : 'of this rule since then'} />
              <Figure name="Suppliers" value={suppliers} />
              <Figure name="Of these withheld" value={fitting.filter(row => row.of.level === 'quarantine' || row.of.level === 'lockout').length} note="buyers see them again" />
              <Figure name="Held back by a budget" value={excess} note="dismissed as well" />
            </div>
            <div class="bulk-list"><VirtualTable label="What would be released" columns={COLUMNS} length={fitting.length} item={row => fitting[row]!} id={row => row.of.id}
              empty={<Empty title="Nothing of this rule is in force since then"><p>Choose a longer time, or another rule.</p></Empty>} /></div>
          </>}
      {isSure && (
        <Dialog title={`Release ${count(fitting.length)}`} onClose={() => setSure(false)} footer={<button type="button" class="btn danger" disabled={!reason.trim() || isSending} onClick={() => void begin()}>{isSending ? 'Releasing…' : `Release ${count(fitting.length)}`}</button>}>
          {error && <Notice kind="high"><strong>{error.title}</strong>: {error.detail} <code>{error.code}</code></Notice>}
          <p>{count(fitting.length)} restrictions of <code>{rule}</code> on {count(suppliers)} suppliers end, each by a decision of its own under your name, and so does what the rule imposes until then{excess > 0 && `; ${count(excess)} that a budget held back are dismissed`}. The rule stays silent on each until its evidence has grown.</p>
          <label class="tick"><input type="checkbox" checked={stop} disabled={!rules.data?.includes(rule)} onChange={event => setStop(event.currentTarget.checked)} /> stop the rule as well, until it is rearmed</label>
          <p>Once begun it goes on by itself, also without this page. When it is done you can undo it for 10 seconds, which puts the same levels in force as your own decisions; what was dismissed or stopped stays so.</p>
          <TextField name="reason" label="Reason" lines={3} required value={reason} onInput={setReason} hint="Kept with each decision in the audit log." error={error?.field('reason')} />
        </Dialog>
      )}
    </>
  )
}
