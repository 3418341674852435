// How the platform runs: the process that answers, its folds and partitions, what was dead-lettered, its configuration, and whether the
// chain of decisions holds.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, get, post } from '../api'
import type { Audit, DeadLetters, DeadLetterSeen, Instance, Instances, Partitions, Place, ReplayedDeadLetter } from '../api-types'
import { useFetched } from '../fetching'
import { count, duration } from '../format'
import { query, setQuery } from '../router'
import { Dialog } from '../ui/dialog'
import { SearchFilter, TextField } from '../ui/field'
import { Figure } from '../ui/figure'
import { Empty, Facts, Failed, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'

/** How often figures are asked for while somebody looks. */
const LOOK_MS = 2_000
/** The same of dead letters and processes, which take reading to know. */
const LETTERS_MS = 5_000
/** A partition that stands still for so long is worth a look, in seconds; as the overview's alert. */
const STALLED_S = 30

/** Asks again every so often while the tab is seen. */
function useLooks(again: () => void, every_ms: number | null): void {
  useEffect(() => {
    if (every_ms === null) return
    const looks = setInterval(() => { if (!document.hidden) again() }, every_ms)
    return () => clearInterval(looks)
  }, [every_ms])
}

interface Fold { fold: string; topic: string; places: Place[]; begun: number; lag: number; stalled_s: number; at: string | null }

function byFold(places: Place[]): Fold[] {
  const folds = new Map<string, Fold>()
  for (const place of places) {
    const of = folds.get(place.fold) ?? { fold: place.fold, topic: place.topic, places: [], begun: 0, lag: 0, stalled_s: 0, at: null }
    of.places.push(place)
    if (place.applied !== null) of.begun++
    of.lag += place.lag ?? 0
    of.stalled_s = Math.max(of.stalled_s, place.stalled_seconds)
    if (place.at && (!of.at || place.at > of.at)) of.at = place.at
    folds.set(place.fold, of)
  }
  return [...folds.values()]
}

const stalled = (seconds: number) => seconds >= STALLED_S ? <span class="badge bad">{duration(seconds * 1_000)}</span> : seconds > 0 ? duration(seconds * 1_000) : <span class="dim">–</span>

function Folds({ of }: { of: Place[] }) {
  const open = query.value.get('fold')
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Folds and their partitions, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Fold</th><th scope="col" class="num">Partitions</th><th scope="col" class="num">Lag, records</th><th scope="col" class="num">Stands still</th><th scope="col">Last record</th><th scope="col" class="num">Applied</th><th scope="col" class="num">Committed</th><th scope="col" class="num">End</th><th scope="col">Reads</th></tr></thead>
        {byFold(of).map(fold => (
          <tbody key={fold.fold}>
            <tr class="fold">
              <td><button type="button" class="btn plain small" aria-expanded={open === fold.fold} onClick={() => setQuery({ fold: open === fold.fold ? null : fold.fold })}>{open === fold.fold ? '▾' : '▸'} {fold.fold}</button></td>
              <td class="num">{count(fold.places.length)}</td><td class="num">{count(fold.lag)}</td><td class="num">{stalled(fold.stalled_s)}</td><td class="nowrap dim">{fold.at ? <Time at={fold.at} /> : '–'}</td>
              <td class="num" colSpan={3}>{fold.begun < fold.places.length && <span class="quiet">{fold.begun} of {fold.places.length} begun here</span>}</td><td class="mono nowrap">{fold.topic}</td>
            </tr>
            {open === fold.fold && fold.places.map(place => (
              <tr key={place.partition}>
                <td /><td class="num">{place.partition}</td><td class="num">{count(place.lag)}</td><td class="num">{stalled(place.stalled_seconds)}</td><td class="nowrap dim">{place.at ? <Time at={place.at} /> : '–'}</td>
                <td class="num">{count(place.applied)}</td><td class="num">{count(place.committed)}</td><td class="num">{count(place.end)}</td><td />
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </div>
  )
}

/** Plays a letter again, after a word of why. */
function Replay({ of, onDone }: { of: DeadLetterSeen; onDone: () => void }) {
  const [reason, setReason] = useState('')
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  const play = () => {
    setBusy(true)
    post<ReplayedDeadLetter>(`/v1/ops/dead-letters/${of.letter}:replay`, { reason }).then(
      ({ data }) => { toast(data.again ? `It was played again already, by ${data.replayed.actor}` : `Dead letter ${of.letter} is played again`); onDone() },
      (refused: ApiError) => { setError(refused); setBusy(false) },
    )
  }
  const ofReason = error?.field('reason')
  return (
    <form class="decide-form" onSubmit={event => { event.preventDefault(); if (!isBusy) play() }}>
      {error && !ofReason && <Notice kind="high"><strong>{error.title}</strong>: {error.detail} <code>{error.code}</code></Notice>}
      <p>Its record is written once more where it was read. That helps where this version reads what an earlier one could not; otherwise it comes back here as another letter.</p>
      <TextField name="reason" label="Reason" required value={reason} onInput={setReason} error={ofReason} />
      <div class="acts"><button type="submit" class="btn main" disabled={isBusy}>Play it again</button></div>
    </form>
  )
}

function LetterDialog({ of, again, onClose }: { of: DeadLetterSeen; again: () => void; onClose: () => void }) {
  let value = of.value
  try { if (of.value.length === of.value_bytes || of.value_bytes < 4_096) value = JSON.stringify(JSON.parse(of.value), null, 2) } catch { /* Shown as it was sent. */ }
  return (
    <Dialog title={<>Dead letter {of.letter}</>} onClose={onClose}>
      <p>{of.detail}</p>
      <Facts of={[
        ['Code', <code>{of.code}</code>], ['Read from', <span class="mono">{of.topic}/{of.partition} at offset {of.offset}</span>], ['Type it claimed', <span class="mono">{of.kind || '–'}</span>],
        ['Tried', `${of.attempts} ${of.attempts === 1 ? 'time' : 'times'}`], ['Written', <Time at={of.at} />], ['Value', `${count(of.value_bytes)} bytes${of.value_bytes > 4_096 ? ', the first 4,096 of them' : ''}`],
      ]} />
      <pre tabIndex={0} aria-label="The value as it was sent">{value}</pre>
      {of.replayed ? <p>Played again by {of.replayed.actor}, <Time at={of.replayed.at} />: {of.replayed.reason}</p>
        : of.replayable ? <Replay of={of} onDone={() => { again(); onClose() }} />
          : <p class="quiet">It was made by a fold, not sent by a caller: whoever reads it would pass it over as known, so it is not played again. Mend what caused it.</p>}
    </Dialog>
  )
}

function Letters({ of, error, again }: { of?: DeadLetters; error?: Parameters<typeof Failed>[0]['error']; again: () => void }) {
  const before = query.value.get('before')
  const [shown, setShown] = useState<DeadLetterSeen | null>(null)
  if (error && !of) return <Failed error={error} again={again} />
  if (!of) return <Loading />
  if (of.letters.length === 0) return <Empty title="No dead letters"><p>What cannot be processed is kept here for 30 days, with where it was read, so that nothing is lost without a word.</p></Empty>
  return (
    <>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Dead letters, table">
        <table class="plain-table">
          <thead><tr><th scope="col">Written</th><th scope="col">Code</th><th scope="col">Read from</th><th scope="col" class="num">Offset</th><th scope="col">Type</th><th scope="col">What was wrong</th><th scope="col"><span class="hidden-visually">Look</span></th></tr></thead>
          <tbody>{of.letters.map(letter => (
            <tr key={letter.letter}>
              <td class="nowrap"><Time at={letter.at} /></td><td class="nowrap"><code>{letter.code}</code></td><td class="mono nowrap">{letter.topic}/{letter.partition}</td><td class="num">{count(letter.offset)}</td>
              <td class="mono nowrap">{letter.kind || '–'}</td><td class="prose">{letter.detail}{letter.replayed && <div><span class="badge good">played again</span> <span class="quiet">{letter.replayed.actor}, <Time at={letter.replayed.at} /></span></div>}</td><td><button type="button" class="btn small" aria-label={`Look at dead letter ${letter.letter}`} onClick={() => setShown(letter)}>Look</button></td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {(of.next !== null || before) && <div class="pages">{before && <button type="button" class="btn small" onClick={() => setQuery({ before: null })}>Newest</button>}{of.next !== null && <button type="button" class="btn small" onClick={() => setQuery({ before: String(of.next) })}>Older</button>}</div>}
      {shown && <LetterDialog of={shown} again={again} onClose={() => setShown(null)} />}
    </>
  )
}

function Processes({ of }: { of: Instances }) {
  if (of.instances.length === 0) return <Empty title="Nobody takes part"><p>No process of the installation is in a group of Kafka at this moment; while processes start or leave, that passes.</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Processes, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Process</th><th scope="col">Host</th><th scope="col">Runs</th><th scope="col">Folds and their partitions</th></tr></thead>
        <tbody>{of.instances.map(one => (
          <tr key={`${one.instance} ${one.host}`}>
            <td class="nowrap"><span class="mono">{one.instance}</span> {one.here && <span class="badge">answers you</span>}</td><td class="mono nowrap">{one.host ?? <span class="dim">this one</span>}</td><td class="nowrap">{one.roles.join(', ')}</td>
            <td class="prose">{one.folds.map(fold => `${fold.fold} ${fold.partitions.length > 0 ? fold.partitions.join(' ') : '–'}`).join(', ')}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  )
}

const FOUND: Record<Audit['state'], [string, string]> = { never: ['badge', 'not verified yet'], running: ['badge', 'verifying'], holds: ['badge good', 'the chain holds'], broken: ['badge bad', 'the chain is broken'], failed: ['badge warn', 'could not be read'] }

function Chain() {
  const audit = useFetched(signal => get<Audit>('/v1/ops/audit', { signal }).then(of => of.data), [])
  const of = audit.data
  const isRunning = of?.state === 'running'
  useLooks(audit.again, isRunning ? 500 : null)
  const verify = () => post('/v1/ops/audit:verify').then(audit.again, toastError)
  return (
    <Panel title="Chain of decisions" action={<button type="button" class="btn small" disabled={!of || isRunning} onClick={() => void verify()}>Verify now</button>}>
      {audit.error && !of ? <Failed error={audit.error} again={audit.again} /> : !of ? <Loading /> : (
        <div class="body chain">
          <p><span class={FOUND[of.state][0]} data-testid="chain">{FOUND[of.state][1]}</span></p>
          {audit.error && <p role="alert">{audit.error.title}. {audit.error.detail}</p>}
          {of.detail && <p role="alert">{of.detail}</p>}
          {isRunning && <progress max={Math.max(1, of.end)} value={of.offset} aria-label="Verified so far" />}
          {of.state === 'never'
            ? <p class="quiet">Each decision bears a hash of itself and the one before it. Verifying reads all of them, from the first on.</p>
            : <Facts of={[['Decisions', count(of.decisions)], ['Looked at', `${count(of.offset)} of ${count(of.end)} records`], ['Begun', of.began_at ? <Time at={of.began_at} /> : '–'], ['Ended', of.ended_at ? <Time at={of.ended_at} /> : '–']]} />}
        </div>
      )}
    </Panel>
  )
}

/** `{ a: { b: 1 } }` as lines `a.b` and `1`, numbers as they are written in a file. */
function lines(of: unknown, path = ''): Array<[string, string]> {
  if (of !== null && typeof of === 'object' && !Array.isArray(of)) {
    return Object.entries(of).flatMap(([name, value]) => lines(value, path ? `${path}.${name}` : name))
  }
  return [[path, of === null || of === '' ? '–' : Array.isArray(of) ? of.map(one => typeof one === 'object' ? JSON.stringify(one) : String(one)).join(', ') || '–' : String(of)]]
}

function Configuration({ of }: { of: unknown }) {
  const all = useMemo(() => lines(of), [of])
  const wanted = (query.value.get('q') ?? '').toLowerCase()
  if (of === null) return <Empty title="No configuration"><p>This process was not started from one, as a demo is not.</p></Empty>
  const shown = all.filter(([name, value]) => `${name} ${value}`.toLowerCase().includes(wanted))
  return (
    <>
      <div class="search"><SearchFilter label="Find a setting" /></div>
      <div class="settings" tabIndex={0} role="region" aria-label="Configuration, table">
        {shown.length === 0 ? <Empty title="No setting is named so" /> : <table class="plain-table"><tbody>{shown.map(([name, value]) => <tr key={name}><td class="mono">{name}</td><td class="mono setting">{value}</td></tr>)}</tbody></table>}
      </div>
    </>
  )
}

export default function Operations() {
  const instance = useFetched(signal => get<Instance>('/v1/ops/instance', { signal }).then(of => of.data), [])
  const places = useFetched(signal => get<Partitions>('/v1/ops/partitions', { signal }).then(of => of.data.partitions), [])
  const before = query.value.get('before')
  const letters = useFetched(signal => get<DeadLetters>('/v1/ops/dead-letters', { query: { limit: 20, before }, signal }).then(of => of.data), [before])
  const processes = useFetched(signal => get<Instances>('/v1/ops/instances', { signal }).then(of => of.data), [])
  useLooks(() => { places.again(); instance.again() }, LOOK_MS)
  useLooks(() => { letters.again(); processes.again() }, LETTERS_MS)
  const of = instance.data
  const failing = instance.error ?? places.error ?? letters.error
  if (instance.error && !of) return <><PageHead title="Operations" /><Failed error={instance.error} again={instance.again} /></>
  const folds = byFold(places.data ?? [])
  const worst = folds.reduce((most, fold) => fold.stalled_s > most ? fold.stalled_s : most, 0)
  return (
    <>
      <PageHead title="Operations" note={of && <>process <span class="mono">{of.instance}</span></>} />
      {of && failing && <Notice kind="high">What is shown is of before: {failing.title}. {failing.detail}</Notice>}
      {of && !of.ready && <Notice kind="high">This process is not ready: {of.waits_for}</Notice>}
      <div class="strip" role="group" aria-label="This process">
        <div class="figure"><span class="name">Process</span><span class="value">{instance.error ? 'no answer' : of ? of.ready ? 'ready' : 'not ready' : '–'}</span><span class="note">{of ? `version ${of.version}, ${of.log} log` : ''}</span></div>
        <div class="figure"><span class="name">Up</span><span class="value">{of ? duration(Math.max(1_000, Math.floor((Date.now() - Date.parse(of.started_at)) / 1_000) * 1_000)) : '–'}</span><span class="note">{of ? <>since <Time at={of.started_at} /></> : ''}</span></div>
        <Figure name="Lag" value={places.data && !places.error ? Math.max(0, ...folds.map(fold => fold.lag)) : null} unit="records" note="of the slowest fold" />
        <Figure name="Stands still" value={places.data && !places.error ? Math.round(worst) : null} unit="s" note="the longest of all partitions" isBad={worst >= STALLED_S} />
        <Figure name="Dead letters" value={letters.data?.kept} note="kept for 30 days" />
      </div>
      <Panel title="Folds and partitions" note={of ? `${of.roles.join(', ')} run here` : undefined}>{places.error && !places.data ? <Failed error={places.error} again={places.again} /> : places.data ? <Folds of={places.data} /> : <Loading lines={9} />}</Panel>
      <div class="processes"><Panel title="Processes" note="those that run now">{processes.error && !processes.data ? <Failed error={processes.error} again={processes.again} /> : processes.data ? <Processes of={processes.data} /> : <Loading lines={2} />}</Panel></div>
      <div class="operations">
        <Panel title="Dead letters" note="the newest first"><Letters of={letters.data} error={letters.error} again={letters.again} /></Panel>
        <Chain />
      </div>
      <Panel title="Configuration" note="of this process; secrets are never shown">{of ? <Configuration of={of.configuration} /> : <Loading />}</Panel>
      {of?.log === 'kafka' && <p class="quiet below">Other processes may run over the same log; each answers for itself. Behind a balancer, another one may answer the next time.</p>}
    </>
  )
}
