// Releases all that one rule did since a time, after a count. Each is a decision of its own: what is done stays done when it is stopped.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, get } from '../api'
import type { Decision, Decisions, Restriction, RuleSetInForce } from '../api-types'
import { putBack, release, subjectOf } from '../decide/act'
import { useFetched } from '../fetching'
import { count, words } from '../format'
import { explains, SupplierLink } from '../links'
import { query, setQuery } from '../router'
import { useDecisions, type Row } from '../stream'
import { TextField } from '../ui/field'
import { Figure } from '../ui/figure'
import { Dialog } from '../ui/dialog'
import { Empty, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Segments, Time } from '../ui/states'
import { toast } from '../ui/toast'
import { VirtualTable, type Column } from '../ui/virtual-table'

type Since = '1h' | '6h' | '24h' | '7d'
const HOURS: Record<Since, number> = { '1h': 1, '6h': 6, '24h': 24, '7d': 168 }
/** Pages of 500 decisions that are read for the count. */
const PAGES_MAX = 40
/** Releases on their way at once: few, for the arbiter decides them one after the other. */
const AT_ONCE = 4
const TOLD_MAX = 20

interface Found { supplier: string; of: Restriction }

/** What a rule imposed since then and is in force, by what the last decision of each supplier says. */
async function find(rule: string, since: number, signal: AbortSignal): Promise<{ rows: Found[]; isCut: boolean }> {
  const seen = new Set<string>()
  const rows: Found[] = []
  let cursor: number | null = null
  for (let page = 0; page < PAGES_MAX; page++) {
    const data: Decisions = (await get<Decisions>('/v1/decisions', { query: { limit: 500, cursor }, signal })).data
    for (const decision of data.decisions as Decision[]) {
      if (seen.has(decision.supplier)) continue
      seen.add(decision.supplier)
      for (const of of decision.in_force) if (of.rule?.id === rule && Date.parse(of.since) >= since) rows.push({ supplier: decision.supplier, of })
    }
    const last = data.decisions.at(-1)
    cursor = data.next
    if (cursor === null || !last || Date.parse(last.at) < since) return { rows: rows.sort((a, b) => Date.parse(b.of.since) - Date.parse(a.of.since)), isCut: false }
  }
  return { rows, isCut: true }
}

const COLUMNS: Array<Column<Found>> = [
  { name: 'since', head: 'Since', width: '100px', cell: ({ of }) => <Time at={of.since} /> },
  { name: 'level', head: 'Level', width: '90px', cell: ({ of }) => <LevelBadge level={of.level} /> },
  { name: 'supplier', head: 'Supplier', width: 'minmax(90px, 1fr)', cell: ({ supplier }) => <SupplierLink id={supplier} /> },
  { name: 'scope', head: 'Covers', width: 'minmax(110px, 1fr)', from: 480, cell: ({ of }) => subjectOf(of.scope) },
  { name: 'reason', head: 'Evidence', width: 'minmax(120px, 1.4fr)', from: 640, cell: ({ of }) => of.reasons.map(words).join(', ') },
  { name: 'confirmed', head: 'Confirmed', width: '92px', from: 760, cell: ({ of }) => of.confirmed?.actor ?? <span class="dim">no</span> },
  { name: 'id', head: '', width: '64px', from: 440, cell: ({ of }) => <a href={explains(of.id)}>Explain</a> },
]

interface Progress { all: number; done: Found[]; failed: Array<{ row: Found; error: ApiError }>; isRunning: boolean; isUndoing: boolean }

/** How often a wait looks whether it is stopped. */
const STOP_MS = 200

async function wait(seconds: number, isStopped: () => boolean): Promise<void> {
  const end = Date.now() + seconds * 1_000
  while (Date.now() < end && !isStopped()) await new Promise(done => setTimeout(done, Math.min(STOP_MS, end - Date.now())))
}

/** Runs over rows a few at a time, and stops between two when told so. */
async function each(rows: Found[], isStopped: () => boolean, run: (row: Found) => Promise<unknown>, then: (row: Found, error?: ApiError) => void): Promise<void> {
  let at = 0
  /** Too much at once, or not now: as long as the server says, then the same row again. */
  const finish = async (row: Found) => {
    while (!isStopped()) {
      const error = await run(row).then(() => undefined, (failed: unknown) => failed instanceof ApiError ? failed : new ApiError(0, 'page_failed', 'This page failed', String(failed)))
      const isLater = error?.status === 429 || (error?.status === 503 && error.retryAfter !== undefined)
      if (!error || !isLater) return then(row, error)
      await wait(error.retryAfter ?? 1, isStopped)
    }
  }
  const worker = async () => { while (at < rows.length && !isStopped()) await finish(rows[at++]!) }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
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
  const found = useFetched(signal => rule ? find(rule, from, signal) : Promise.resolve({ rows: [], isCut: false }), [rule, from])
  const [isSure, setSure] = useState(false)
  const [reason, setReason] = useState('')
  const isStopped = useRef(false)
  useEffect(() => () => { isStopped.current = true }, [])

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

  const run = async (rows: Found[], isUndoing: boolean, call: (row: Found) => Promise<unknown>) => {
    isStopped.current = false
    const state: Progress = { all: rows.length, done: [], failed: [], isRunning: true, isUndoing }
    const show = () => setProgress({ ...state, done: [...state.done], failed: [...state.failed] })
    show()
    await each(rows, () => isStopped.current, call, (row, error) => {
      if (error) state.failed.push({ row, error })
      else state.done.push(row)
      show()
    })
    state.isRunning = false
    show()
    found.again()
    return state
  }
  const begin = async () => {
    const rows = fitting
    setSure(false)
    const state = await run(rows, false, row => release(row.of, reason))
    setReason('')
    if (state.done.length === 0) return
    toast(`${count(state.done.length)} released`, { undo: () => void run(state.done, true, row => putBack(row.supplier, row.of)()) })
  }
  const word = progress?.isUndoing ? 'put back' : 'released'
  return (
    <>
      <PageHead title="Release in bulk" note="all that one rule did since a time">
        <button type="button" class="btn danger" disabled={isBusy || fitting.length === 0} onClick={() => setSure(true)}>Release {count(fitting.length)}</button>
      </PageHead>
      <div class="filters">
        <select class="select" aria-label="Rule" value={rule} disabled={isBusy} onChange={event => setQuery({ rule: event.currentTarget.value })}>
          <option value="">Choose a rule</option>
          {[...new Set([...(rules.data ?? []), ...(rule ? [rule] : [])])].map(id => <option key={id} value={id}>{id}</option>)}
        </select>
        <Segments label="Since" value={since} options={[['1h', '1 hour'], ['6h', '6 hours'], ['24h', '1 day'], ['7d', '7 days']]} onChange={value => { if (!isBusy) setQuery({ since: value === '24h' ? null : value }) }} />
        <label class="tick"><input type="checkbox" checked={withConfirmed} disabled={isBusy} onChange={event => setQuery({ confirmed: event.currentTarget.checked ? 'yes' : null })} /> also what a person confirmed</label>
      </div>
      {progress && (
        <Panel title={progress.isUndoing ? 'Undoing' : 'Releasing'} action={isBusy ? <button type="button" class="btn small" onClick={() => { isStopped.current = true }}>Stop</button> : <button type="button" class="btn small" onClick={() => setProgress(null)}>Close</button>} class="bulk-progress">
          <div class="body stack">
            <progress max={progress.all} value={progress.done.length + progress.failed.length} aria-label={`${word} so far`} />
            <p role="status" data-testid="progress">{count(progress.done.length)} of {count(progress.all)} {word}{progress.failed.length > 0 && `, ${count(progress.failed.length)} refused`}{!isBusy && (progress.done.length + progress.failed.length < progress.all ? '; stopped' : '; done')}.</p>
            {progress.failed.slice(0, TOLD_MAX).map(({ row, error }) => <p key={row.of.id} class="quiet"><code>{row.of.id}</code> of <code>{row.supplier}</code>: {error.detail || error.title} <code>{error.code}</code></p>)}
          </div>
        </Panel>
      )}
      {!rule ? <Panel title="Which rule?"><Empty title="Choose a rule"><p>Then everything that it imposed since the time and that is still in force is counted and listed, before anything happens.</p></Empty></Panel>
        : found.isLoading ? <Loading lines={8} />
          : found.error && !found.data ? <Failed error={found.error} again={found.again} /> : <>
            {found.data!.isCut && <Notice kind="low">So many decisions were made since then that only the last {count(PAGES_MAX * 500)} were looked at. Release these, then look again.</Notice>}
            <div class="strip" role="group" aria-label="What would be released">
              <Figure name="Restrictions in force" value={fitting.length} note={skipped > 0 ? `and ${count(skipped)} that a person confirmed` : 'of this rule since then'} />
              <Figure name="Suppliers" value={suppliers} />
              <Figure name="Of these withheld" value={fitting.filter(row => row.of.level === 'quarantine' || row.of.level === 'lockout').length} note="buyers see them again" />
            </div>
            <div class="bulk-list"><VirtualTable label="What would be released" columns={COLUMNS} length={fitting.length} item={row => fitting[row]!} id={row => row.of.id}
              empty={<Empty title="Nothing of this rule is in force since then"><p>Choose a longer time, or another rule.</p></Empty>} /></div>
          </>}
      {isSure && (
        <Dialog title={`Release ${count(fitting.length)}`} onClose={() => setSure(false)} footer={<button type="button" class="btn danger" disabled={!reason.trim()} onClick={() => void begin()}>Release {count(fitting.length)}</button>}>
          <p>{count(fitting.length)} restrictions of <code>{rule}</code> on {count(suppliers)} suppliers end, each by a decision of its own under your name. The rule stays silent on each until its evidence has grown; to keep it from acting at all, change its mode first.</p>
          <p>When it is done you can undo it for 10 seconds, which puts the same levels in force as your own decisions.</p>
          <TextField name="reason" label="Reason" lines={3} required value={reason} onInput={setReason} hint="Kept with each decision in the audit log." />
        </Dialog>
      )}
    </>
  )
}
