// Models: which scores, which runs beside it, how both did on what they had not seen, and changing places.
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, api, get, post, session } from '../api'
import type { Draft, Drafts, Drift, DriftReading, Model, Models } from '../api-types'
import { useFetched } from '../fetching'
import { count, number } from '../format'
import { useChannel } from '../stream'
import type { RulesState } from '../stream-types'
import { Dialog } from '../ui/dialog'
import { Empty, Facts, Failed, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'
import { LiveCalibration } from './models-calibration'
import { came } from './rules-parts'

interface HeldOut { orders: number; bad: number; average_precision: number; auc: number; log_loss: number; expected_to_seen: number }
interface Origin { data: string; features: string; label_delay: string; from: string; until: string; orders: number; bad: number }
type Place = 'champion' | 'challenger' | 'former'
/** How often models are asked for again while somebody looks. */
const EVERY_MS = 5_000
type Change = 'promote' | 'rollback'

const PLACES: Array<[Place, string, string]> = [
  ['champion', 'Champion', 'scores what rules read'], ['challenger', 'Challenger', 'scores beside it; nothing reads that'], ['former', 'Former champion', 'what rolling back goes to'],
]
/** Figures on orders after those it learnt from. `better` is the direction, or the value that is best. */
const FIGURES: Array<[keyof HeldOut, string, string, 'high' | 'low' | number | null]> = [
  ['orders', 'Orders held out', 'orders', null], ['bad', 'Bad among them', 'orders', null],
  ['average_precision', 'Average precision', '0 to 1, more is better', 'high'], ['auc', 'Area under the ROC curve', '0.5 is chance, 1 is best', 'high'],
  ['log_loss', 'Log loss', 'less is better', 'low'], ['expected_to_seen', 'Calibration, held out', 'expected per seen bad order; 1 is best', 1],
]

function best(values: Array<number | undefined>, by: 'high' | 'low' | number | null): number {
  const found = values.flatMap((value, at) => value === undefined ? [] : [{ at, badness: by === 'high' ? -value : by === 'low' ? value : Math.abs(value - (by ?? 0)) }])
  if (by === null || found.length < 2) return -1
  const [first, second] = found.sort((a, b) => a.badness - b.badness)
  return first!.badness === second!.badness ? -1 : first!.at
}

function Compare({ models }: { models: Models }) {
  const shown = PLACES.filter(([place]) => models[place])
  const held = shown.map(([place]) => models[place]!.held_out as Partial<HeldOut>)
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="How they did, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Figure</th>{shown.map(([place, head]) => <th key={place} scope="col" class="num">{head}</th>)}</tr></thead>
        <tbody>{FIGURES.map(([name, head, note, by]) => {
          const values = held.map(of => of[name])
          const winner = best(values, by)
          return <tr key={name}><td>{head}<div class="quiet">{note}</div></td>{values.map((value, at) => <td key={at} class="num">{at === winner && <span class="badge good">better</span>} {number(value)}</td>)}</tr>
        })}</tbody>
      </table>
    </div>
  )
}

function Origins({ of }: { of: Model }) {
  const origin = of.origin as Partial<Origin>
  return (
    <Facts of={[
      ['Version', <code>{of.version}</code>],
      ['Learnt from', origin.from && origin.until ? `orders of ${origin.from.slice(0, 10)} to ${origin.until.slice(0, 10)}` : '–'],
      ['Orders', `${count(origin.orders)}, ${count(origin.bad)} of them bad`], ['Label delay', origin.label_delay ?? '–'],
      ['Features', <code>{origin.features ?? '–'}</code>], ['Data, SHA-256', <code>{origin.data ?? '–'}</code>],
    ]} />
  )
}

const READING: Record<DriftReading, [string, string]> = { steady: ['badge good', 'steady'], moved: ['badge warn', 'moved'], shifted: ['badge bad', 'shifted'] }

/** How far live vectors are from those of training, by the population stability index. */
function Moved({ of, hasChampion }: { of: Drift | null | undefined; hasChampion: boolean }) {
  if (!of) return <Empty title="Not known here"><p>Scoring runs in another process; ask that one, or its figure <code>stockade_scoring_feature_drift</code>.</p></Empty>
  const points = of.points.filter(one => one.vectors > 0)
  const worst = [...of.indexes].sort((a, b) => b.index - a.index)
  return (
    <>
      {points.length > 0 && <div class="body"><Facts of={points.map(one => [one.model === 'champion' ? 'Champion gives' : 'Challenger gives', `${number(one.mean)} of 1,000 points on average, over ${count(one.vectors)} scores`] as [string, string])} /></div>}
      {worst.length === 0 ? <Empty title="No look yet"><p>{hasChampion ? `The server looks every ${count(of.every)} scores, and has made ${count(of.vectors)} with this champion since it started.` : 'There is no champion whose training it could be compared with.'}</p></Empty> : (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Drift, table">
          <table class="plain-table">
            <thead><tr><th scope="col">Feature</th><th scope="col" class="num">Index</th><th scope="col">Reading</th></tr></thead>
            <tbody>{worst.map(one => <tr key={one.feature}><td class="mono">{one.feature}</td><td class="num">{number(one.index)}</td><td><span class={READING[one.reading][0]}>{READING[one.reading][1]}</span></td></tr>)}</tbody>
          </table>
          <p class="quiet pad">Population stability index of the scores made here against those of training: below 0.1 steady, to 0.25 moved, above it shifted, so that the model sees others than it learnt from. A convention, no test.</p>
        </div>
      )}
    </>
  )
}

/** A model, or a change of places, that waits for a second person. */
function Waiting({ of, again }: { of: Draft; again: () => void }) {
  const [isBusy, setBusy] = useState(false)
  const isOwn = of.author === session.value?.name
  const what = of.change.what === 'model' ? 'A new challenger' : of.change.what === 'model_switch' && of.change.to === 'promote' ? 'Promoting the challenger' : 'Going back to the former champion'
  const act = (doing: Promise<unknown>, said: string) => { setBusy(true); doing.then(() => { toast(said); again() }, toastError).finally(() => setBusy(false)) }
  const path = `/v1/drafts/${encodeURIComponent(of.id)}`
  return (
    <Notice kind="low" action={<span class="model-acts">
      <button type="button" class="btn small" disabled={isBusy} onClick={() => act(api('DELETE', path), 'The draft is taken away.')}>{isOwn ? 'Take it back' : 'Turn it down'}</button>
      {!isOwn && session.value?.role !== 'analyst' && <button type="button" class="btn small main" disabled={isBusy} onClick={() => act(post(`${path}:approve`), 'Approved; it is in force.')}>Approve</button>}
    </span>}>{what}, asked for by {of.author} <Time at={of.at} />, waits for a second person.</Notice>
  )
}

export default function ModelsPage() {
  const state = useChannel<RulesState>('rules').value
  const asked = useFetched(async signal => {
    const [models, drafts] = await Promise.all([get<Models>('/v1/models', { signal }), get<Drafts>('/v1/drafts', { signal })])
    return { models: models.data, drafts: drafts.data.drafts.filter(of => of.change.what === 'model' || of.change.what === 'model_switch') }
  }, [], [state?.drafts])
  const [change, setChange] = useState<Change | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  // No channel tells of models, and somebody else may change them.
  useEffect(() => {
    const beat = setInterval(() => { if (!document.hidden) asked.again() }, EVERY_MS)
    return () => clearInterval(beat)
  }, [])
  const file = useRef<HTMLInputElement>(null)
  if (!asked.data) return <><PageHead title="Models" />{asked.error ? <Failed error={asked.error} again={asked.again} /> : <Loading lines={10} />}</>
  const { models, drafts } = asked.data
  const done = (doing: Promise<{ status: number; data: unknown }>, said: string) => {
    setBusy(true)
    doing.then(
      ({ status, data }) => { toast(came(status, data, said)); setError(null) }, (failed: ApiError) => setError(failed),
    ).finally(() => { setBusy(false); setChange(null); asked.again() })
  }
  const publish = async (event: Event) => {
    const input = event.currentTarget as HTMLInputElement
    const given = input.files?.[0]
    if (!given) return
    const body = await given.text()
    input.value = ''
    done(post('/v1/models', undefined, { text: { type: 'application/json', body } }), 'It runs beside the champion.')
  }
  const isNone = !models.champion && !models.challenger && !models.former
  return (
    <>
      <PageHead title="Models">
        <input ref={file} class="hidden-visually" type="file" accept="application/json,.json" aria-label="A model file" tabIndex={-1} onChange={event => void publish(event)} />
        <button type="button" class="btn" disabled={isBusy} onClick={() => file.current!.click()}>Publish a model…</button>
        <button type="button" class="btn danger" disabled={isBusy || !models.former} onClick={() => setChange('rollback')}>Roll back</button>
        <button type="button" class="btn main" disabled={isBusy || !models.challenger} onClick={() => setChange('promote')}>Promote</button>
      </PageHead>
      {error && <Notice kind="high" action={<button type="button" class="btn small" onClick={() => setError(null)}>Understood</button>}>{error.title}: {error.detail}</Notice>}
      {drafts.map(of => <Waiting key={of.id} of={of} again={asked.again} />)}
      {isNone ? <Panel title="No model scores"><Empty title="No model was published"><p>Rules read tests and counts without one; <code>stockade train</code> fits a model to a labelled history, and its file is published here to run beside the champion.</p></Empty></Panel> : (
        <>
          <Panel title="How they did" note="on orders after those they learnt from"><Compare models={models} /></Panel>
          <div class="grid model-places">{PLACES.map(([place, head, note]) => (
            <Panel key={place} title={head} note={note}>{models[place] ? <div class="body"><Origins of={models[place]!} /></div> : <Empty title="None" />}</Panel>
          ))}</div>
        </>
      )}
      {!isNone && <Panel title="Calibration on live orders" note="what was predicted, beside what became of it" class="model-live"><LiveCalibration models={models} /></Panel>}
      {!isNone && <Panel title="Drift" note="what the champion reads now, beside what it learnt from"><Moved of={models.drift} hasChampion={!!models.champion} /></Panel>}
      {change && (
        <Dialog title={change === 'promote' ? 'Make the challenger champion?' : 'Make the former champion champion again?'} onClose={() => setChange(null)}
          footer={<button type="button" class={`btn ${change === 'promote' ? 'main' : 'danger'}`} disabled={isBusy} onClick={() => done(post(`/v1/models:${change}`), change === 'promote' ? 'The challenger is champion now.' : 'The former champion is champion again.')}>{change === 'promote' ? 'Promote' : 'Roll back'}</button>}>
          <p>Rules that read the score then read {change === 'promote' ? 'that of the challenger' : 'that of the former champion'}: <code>{models[change === 'promote' ? 'challenger' : 'former']?.version}</code>. {change === 'promote' ? 'What is champion now can be gone back to.' : ''}</p>
        </Dialog>
      )}
    </>
  )
}
