// Decisions as they happen. Pausing keeps what is shown and counts what comes; going on shows it all and wipes nothing.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Action, Level } from '../api-types'
import { count, duration, number, words } from '../format'
import { useKeys } from '../keys'
import { explains, RuleLink, SupplierLink } from '../links'
import { query, setQuery } from '../router'
import { forgetPlace, useDecisions, type Row } from '../stream'
import { Dialog } from '../ui/dialog'
import { FilterChip, SearchFilter, SelectFilter } from '../ui/field'
import { ActionWord, Empty, Facts, LevelBadge, Notice, PageHead, Panel, Segments, Time } from '../ui/states'
import { VirtualTable, type Column } from '../ui/virtual-table'

/** Rows kept in a tab: a compressed night. */
const ROWS_MAX = 100_000
const LEVELS: Level[] = ['watch', 'limit', 'cap', 'dim', 'quarantine', 'lockout']
const ACTIONS: Action[] = ['imposed', 'raised', 'released', 'expired', 'extended', 'cured', 'confirmed', 'reopened', 'appealed', 'appeal_rejected', 'over_budget', 'dismissed', 'lowered', 'snoozed', 'allowed', 'allow_ended', 'unlinked']
type Pivot = 'rule' | 'reason' | 'supplier'

const scopeOf = (row: Row) => row.scope?.listing ?? row.scope?.sku ?? row.scope?.region ?? 'supplier'

interface Filter { text: string; level: string; action: string; rule: string; reason: string; supplier: string }

function fits(row: Row, of: Filter): boolean {
  if (of.level && row.level !== of.level) return false
  if (of.action && row.action !== of.action) return false
  if (of.rule && row.rule !== of.rule) return false
  if (of.reason && !row.reasons.includes(of.reason)) return false
  if (of.supplier && row.supplier !== of.supplier) return false
  if (!of.text) return true
  return [row.supplier, row.rule, row.actor, row.id, scopeOf(row), ...row.reasons].some(part => part?.toLowerCase().includes(of.text))
}

const COLUMNS: Column<Row>[] = [
  { name: 'at', head: 'Time', width: '72px', cell: row => <span class="num"><Time at={row.at} /></span> },
  { name: 'action', head: 'What', width: '100px', from: 420, cell: row => <ActionWord action={row.action} /> },
  { name: 'level', head: 'Level', width: '90px', cell: row => row.level ? <LevelBadge level={row.level} /> : <span class="dim">–</span> },
  { name: 'supplier', head: 'Supplier', width: 'minmax(80px, .8fr)', cell: row => <span class="mono">{row.supplier}</span> },
  { name: 'scope', head: 'Scope', width: 'minmax(96px, 1fr)', from: 640, cell: row => <span class={row.scope?.kind === 'supplier' ? 'dim' : 'mono'}>{scopeOf(row)}</span> },
  { name: 'rule', head: 'Rule or person', width: 'minmax(110px, 1.4fr)', from: 520, cell: row => row.rule ?? row.actor ?? '–' },
  { name: 'reason', head: 'Evidence', width: 'minmax(120px, 1.4fr)', from: 740, cell: row => row.reasons.map(words).join(', ') },
  { name: 'took', head: 'Decided after', width: '92px', isNumber: true, from: 900, cell: row => row.cause_at ? duration(Math.max(0, Date.parse(row.at) - Date.parse(row.cause_at))) : <span class="dim">–</span> },
]

/** What a row says before the whole explanation is opened. */
function Peek({ row, onClose }: { row: Row; onClose: () => void }) {
  const address = row.id && explains(row.id)
  const values = Object.entries(row.values)
  return (
    <Dialog title={<><ActionWord action={row.action} /> {row.level && <LevelBadge level={row.level} />}</>} onClose={onClose}
      footer={address ? <a class="btn main" href={address}>Explain</a> : undefined}>
      {row.text && <p>{row.text}</p>}
      <Facts of={[
        ['Supplier', <SupplierLink id={row.supplier} />],
        ['Scope', row.scope ? `${row.scope.kind}${row.scope.kind === 'supplier' ? '' : ` ${scopeOf(row)}`}` : '–'],
        [row.rule ? 'Rule' : 'Person', row.rule ? <RuleLink id={row.rule} /> : row.actor ?? '–'],
        ['Evidence', row.reasons.map(words).join(', ') || '–'],
        ['Decided', <Time at={row.at} />],
        ...(row.note ? [['Note', row.note] as [string, string]] : []),
        ['In force after it', row.highest ? <LevelBadge level={row.highest} /> : 'nothing'],
        ['Decision', <code>{row.id ?? `at ${row.offset}`}</code>],
      ]} />
      {values.length > 0 && (
        <table class="plain-table">
          <thead><tr><th scope="col">Feature read</th><th scope="col" class="num">Seen</th></tr></thead>
          <tbody>{values.map(([name, value]) => <tr key={name}><td class="mono">{name}</td><td class="num">{number(value)}</td></tr>)}</tbody>
        </table>
      )}
    </Dialog>
  )
}

function PivotTable({ rows, grown, by }: { rows: Row[]; grown: number; by: Pivot }) {
  const counts = useMemo(() => {
    const found = new Map<string, number>()
    for (const row of rows) {
      for (const name of by === 'reason' ? row.reasons : [by === 'rule' ? row.rule : row.supplier]) if (name) found.set(name, (found.get(name) ?? 0) + 1)
    }
    return [...found].sort((a, b) => b[1] - a[1]).slice(0, 50)
  }, [rows, grown, by])
  if (counts.length === 0) return <p class="quiet pivot-row">Nothing to count yet</p>
  return <>{counts.map(([name, value]) => (
    <button key={name} type="button" class="pivot-row" title={`Show ${name} only`} onClick={() => setQuery({ [by]: name })}>
      <span class="clip">{by === 'reason' ? words(name) : name}</span><span class="num">{count(value)}</span>
    </button>
  ))}</>
}

export default function Live() {
  const all = useRef<Row[]>([])
  const waiting = useRef<Row[]>([])
  const [shown, setShown] = useState<{ rows: Row[]; grown: number }>({ rows: [], grown: 0 })
  const [unseen, setUnseen] = useState(0)
  const [missed, setMissed] = useState(0)
  const [isPaused, setPaused] = useState(false)
  const [peek, setPeek] = useState<Row | null>(null)
  const paused = useRef(false)
  const at = query.value
  const filter: Filter = { text: (at.get('q') ?? '').toLowerCase(), level: at.get('level') ?? '', action: at.get('action') ?? '', rule: at.get('rule') ?? '', reason: at.get('reason') ?? '', supplier: at.get('supplier') ?? '' }
  const filterKey = JSON.stringify(filter)
  const latest = useRef(filter)
  latest.current = filter
  const pivot = (at.get('pivot') ?? 'rule') as Pivot

  const take = useCallback((rows: Row[], gone: number) => {
    if (gone > 0) setMissed(was => was + gone)
    // A stream that began anew tells some again.
    const next = (all.current.at(-1) ?? waiting.current.at(-1))?.offset ?? -1
    const behind = Math.max(next, waiting.current.at(-1)?.offset ?? -1)
    const isOtherLog = rows.length > 0 && rows.at(-1)!.offset < behind
    if (isOtherLog) { all.current = []; waiting.current = [] }
    const fresh = isOtherLog ? rows : rows.filter(row => row.offset > behind)
    if (fresh.length === 0) return
    if (paused.current) {
      waiting.current.push(...fresh)
      if (waiting.current.length > ROWS_MAX) waiting.current.splice(0, waiting.current.length - ROWS_MAX)
      setUnseen(waiting.current.length)
      return
    }
    show(fresh, isOtherLog)
  }, [])

  const show = (fresh: Row[], isAnew = false) => {
    all.current.push(...fresh)
    if (all.current.length > ROWS_MAX) all.current.splice(0, all.current.length - ROWS_MAX)
    const fitting = fresh.filter(row => fits(row, latest.current))
    setShown(was => {
      // The list of a filter grows in place; a new object says that it has.
      const rows = isAnew ? fitting : was.rows
      if (!isAnew) rows.push(...fitting)
      if (rows.length > ROWS_MAX) rows.splice(0, rows.length - ROWS_MAX)
      return { rows, grown: was.grown + fitting.length }
    })
  }

  useState(forgetPlace)
  useDecisions(take)
  useEffect(() => { setShown(was => ({ rows: all.current.filter(row => fits(row, latest.current)), grown: was.grown })) }, [filterKey])

  const pause = useCallback(() => {
    paused.current = !paused.current
    setPaused(paused.current)
    if (!paused.current) {
      const came = waiting.current
      waiting.current = []
      setUnseen(0)
      show(came)
    }
  }, [])
  useKeys(useMemo(() => [{ keys: 'p', label: 'Pause or go on', run: pause }], [pause]))

  const { rows } = shown
  const isFiltered = Object.values(filter).some(Boolean)
  return (
    <>
      <PageHead title="Live" note={<span data-testid="rows">{count(rows.length)} {isFiltered ? 'fitting ' : ''}decisions</span>}>
        {isPaused && <span class="quiet" role="status" data-testid="unseen">{unseen === 0 ? 'Paused' : `Paused, ${count(unseen)} unseen`}</span>}
        <button type="button" class={`btn${isPaused ? ' main' : ''}`} onClick={pause}>{isPaused ? (unseen > 0 ? `Show ${count(unseen)} more` : 'Go on') : 'Pause'} <kbd>p</kbd></button>
      </PageHead>
      {missed > 0 && <Notice action={<button type="button" class="btn small" onClick={() => setMissed(0)}>Understood</button>}>{count(missed)} decisions came while this page was away for long; the server no longer keeps them for the stream. They are in the audit log.</Notice>}
      <div class="filters">
        <SearchFilter label="Supplier, rule, scope or evidence" />
        <SelectFilter name="action" label="What" options={ACTIONS.map(name => [name, words(name)])} />
        <SelectFilter name="level" label="Level" options={LEVELS.map(name => [name, name])} />
        <FilterChip name="rule" label="rule" /><FilterChip name="reason" label="evidence" /><FilterChip name="supplier" label="supplier" />
      </div>
      <div class="live">
        <VirtualTable label="Decisions, newest first" columns={COLUMNS} length={rows.length} grown={shown.grown}
          item={row => rows[rows.length - 1 - row]!} id={row => row.offset} onOpen={setPeek}
          empty={<Empty title={isFiltered ? 'Nothing fits these filters' : 'No decision yet'}><p>{isFiltered ? 'Take a filter off, or press Back.' : 'They appear here the moment they are made.'}</p></Empty>} />
        <Panel title="Pivot" note="of what is listed" class="pivot">
          <div class="by"><Segments label="Count by" value={pivot} options={[['rule', 'Rule'], ['reason', 'Evidence'], ['supplier', 'Supplier']]} onChange={value => setQuery({ pivot: value === 'rule' ? null : value })} /></div>
          <div class="body" tabIndex={0} role="region" aria-label="Counts"><PivotTable rows={rows} grown={shown.grown} by={pivot} /></div>
        </Panel>
      </div>
      {peek && <Peek row={peek} onClose={() => setPeek(null)} />}
    </>
  )
}
