// What the pages about rules share: modes in words, reasons asked for, the kill switch, what waits for approval.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError, del, get, post, put, session } from '../api'
import type { DecidedLater, Drafts, Exceeded, Kill, Mode, RuleSetVersionInForce, RuleSpec, Truth, WaitsForApproval } from '../api-types'
import { useFetched } from '../fetching'
import { Diff } from '../ui/diff'
import { Dialog } from '../ui/dialog'
import { TextField } from '../ui/field'
import { Notice, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'

export const MODES: Array<[Mode, string, string]> = [
  ['off', 'off', 'it is not looked at'], ['shadow', 'shadow', 'it is counted and does nothing'],
  ['canary', 'canary', 'it acts on a share of suppliers'], ['live', 'live', 'it acts'],
]

export function ModeBadge({ rule }: { rule: Pick<RuleSpec, 'mode' | 'canary_percent'> }) {
  const kind = { live: 'good', canary: 'warn', shadow: '', off: '' }[rule.mode]
  return <span class={`badge ${kind}`}>{rule.mode}{rule.mode === 'canary' && rule.canary_percent ? ` ${rule.canary_percent} %` : ''}</span>
}

const TRUTHS = { true: ['holds', 'bad'], false: ['does not hold', ''], unknown: ['unknown', 'warn'] } as const
export function TruthBadge({ of }: { of: Truth }) {
  return <span class={`badge ${TRUTHS[of][1]}`}>{TRUTHS[of][0]}</span>
}

/** What holds a rule back, in a word. */
export const heldBy = (of: Exceeded) => of.stopped_by ? 'stopped' : of.suspect ? 'suspect' : 'exceeded'

export const promise = (rule: RuleSpec) => rule.false_alarms ?? (rule.floor ? `floor: ${rule.floor}` : '')
export const budget = (of: RuleSpec['budget']) => of ? [of.suppliers && `${of.suppliers} suppliers`, of.stock_share && `${of.stock_share * 100} % of stock`].filter(Boolean).join(', ') + ` per ${of.per}` : ''

/** Asks why, then does it. What the server refuses stays in the dialog with what was typed. */
export function WhyDialog({ title, verb, isDanger, children, act, onClose }: {
  title: string; verb: string; isDanger?: boolean; children?: ComponentChildren; act: (reason: string) => Promise<string>; onClose: () => void
}) {
  const [reason, setReason] = useState('')
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  const go = () => {
    setBusy(true)
    act(reason).then(
      said => { toast(said); onClose() },
      failed => { setError(failed instanceof ApiError ? failed : null); setBusy(false); if (!(failed instanceof ApiError)) toastError(failed) },
    )
  }
  return (
    <Dialog title={title} onClose={onClose} footer={<button type="button" class={`btn ${isDanger ? 'danger' : 'main'}`} disabled={isBusy} onClick={go}>{isBusy ? 'Working…' : verb}</button>}>
      {children}
      <TextField name="reason" label="Reason" value={reason} onInput={setReason} lines={3} required error={error?.field('reason')} />
      {error && !error.field('reason') && <Notice kind="high">{error.title}: {error.detail}</Notice>}
    </Dialog>
  )
}

/** What a change came to: in force, or waiting. */
export const came = (status: number, data: unknown, done: string): string =>
  status === 202 ? (data as WaitsForApproval | DecidedLater).detail || 'It waits for a second person.' : done

export function KillSwitch({ kill, again }: { kill: Kill | null; again: () => void }) {
  const [isAsking, setAsking] = useState(false)
  const turn = async (reason: string) => {
    const { status, data } = await put<unknown>('/v1/ops/kill-switch', { on: !kill, reason })
    again()
    return came(status, data, kill ? 'Rules act again.' : 'All rules are in shadow.')
  }
  return (
    <>
      {kill && <Notice kind="high" action={<button type="button" class="btn small" onClick={() => setAsking(true)}>Let rules act again</button>}>The kill switch is on: no rule acts. Turned by {kill.actor}, <Time at={kill.at} />: {kill.reason}</Notice>}
      {!kill && <button type="button" class="btn danger" onClick={() => setAsking(true)}>Kill switch</button>}
      {isAsking && (
        <WhyDialog title={kill ? 'Let rules act again' : 'Put all rules in shadow'} verb={kill ? 'Let rules act' : 'Put all in shadow'} isDanger={!kill} act={turn} onClose={() => setAsking(false)}>
          <p>{kill ? 'Each rule then acts in its own mode.' : 'No rule imposes anything from then on; what they find is still counted. Nothing that is in force is lifted.'}</p>
        </WhyDialog>
      )}
    </>
  )
}

/** A set that waits for a second person. Its author may take it away; others who may, approve it. */
export function Waiting({ source, again, revision }: { source: string; again: () => void; revision: string }) {
  const waiting = useFetched(signal => get<Drafts>('/v1/drafts', { signal }).then(({ data }) => data.drafts.find(one => one.change.what === 'rules') ?? null), [], [revision])
  const [isShown, setShown] = useState(false)
  const [isBusy, setBusy] = useState(false)
  const of = waiting.data
  if (!of || of.change.what !== 'rules') return null
  const { change } = of
  const isOwn = of.author === session.value?.name
  const mayApprove = session.value?.role !== 'analyst' && !isOwn
  const act = (doing: Promise<unknown>, said: string) => {
    setBusy(true)
    doing.then(() => { toast(said); setShown(false); waiting.again(); again() }, toastError).finally(() => setBusy(false))
  }
  return (
    <>
      <Notice kind="low" action={<button type="button" class="btn small" onClick={() => setShown(true)}>Look at it</button>}>A set by {of.author} waits for approval since <Time at={of.at} />{change.note ? `: ${change.note}` : '.'}</Notice>
      {isShown && (
        <Dialog title={`Set by ${of.author}`} onClose={() => setShown(false)} footer={<>
          <button type="button" class="btn danger" disabled={isBusy} onClick={() => act(del('/v1/rules/draft'), 'The draft is taken away.')}>{isOwn ? 'Take it back' : 'Turn it down'}</button>
          {mayApprove && <button type="button" class="btn main" disabled={isBusy} onClick={() => act(post<RuleSetVersionInForce>('/v1/rules:approve', { version: change.version }), `Version ${change.version} is in force.`)}>Approve</button>}
        </>}>
          {change.note && <p>{change.note}</p>}
          {!mayApprove && <p class="quiet">{isOwn ? 'Somebody else has to approve it.' : 'An approver or operator has to approve it.'}</p>}
          <Diff before={source} after={change.source} />
        </Dialog>
      )}
    </>
  )
}
