// Asks why, and until when, before something is decided; what the server refuses is said beside the field it is about.
import { useRef, useState } from 'preact/hooks'
import { ApiError } from '../api'
import { number } from '../format'
import { toast, toastError } from '../ui/toast'
import { Dialog } from '../ui/dialog'
import { SelectField, TextField } from '../ui/field'
import { LevelBadge, Notice, Time } from '../ui/states'
import { decide, subjectOf, type Done, type Target, type Verb } from './act'

const HOURS: Array<[string, string]> = [['6', '6 hours'], ['24', '1 day'], ['72', '3 days'], ['168', '7 days'], ['720', '30 days']]

/** What a verb is called for what it is about. */
export function nameOf(verb: Verb, { review }: Target): string {
  if (verb === 'extend') return 'Extend'
  if (verb === 'snooze') return 'Snooze the rule'
  if (review?.kind === 'appeal') return verb === 'confirm' ? 'Turn the appeal down' : 'Grant the appeal'
  if (review?.kind === 'excess') return verb === 'confirm' ? 'Impose it' : 'Dismiss'
  return verb === 'confirm' ? 'Confirm' : 'Release'
}

function what(verb: Verb, { supplier, restriction, review }: Target) {
  const rule = restriction?.rule?.id ?? review?.proposal?.rule.id
  if (verb === 'snooze') return <p>The rule <code>{rule}</code> says nothing of <code>{supplier}</code> until then, whatever it finds. What is in force stays.</p>
  if (review?.kind === 'excess') return verb === 'confirm' ? <p>What <code>{rule}</code> asked for comes into force and counts as confirmed.</p> : <p>Nothing is imposed, and <code>{rule}</code> says no more of this until its evidence has grown.</p>
  if (verb === 'extend') return <p>It ends <Time at={restriction!.expires_at} /> otherwise.</p>
  if (verb === 'confirm' && review?.kind === 'appeal') return <p>It stays in force, and the supplier is told your reason. An answer is not taken back; who finds it wrong later releases it.</p>
  if (verb === 'confirm') return <p>You find it right: neither a cure nor a lost link ends it before its time then. Within 10 seconds you can undo it, which opens the review again.</p>
  return <p>Buyers see the offers again at once. {rule ? <>The rule <code>{rule}</code> stays silent on this until its evidence has grown.</> : null} Within 10 seconds you can undo it, which puts the same level in force as your own decision.</p>
}

/** Announces what was done, with its undo for ten seconds; `after` the undo, what is shown is asked for anew. */
export function announce({ text, undo }: Done, after: () => void): void {
  toast(text, { undo: undo && (() => { undo().then(() => { toast('Undone'); after() }, toastError) }) })
}

export interface DecideDialogProps {
  verb: Verb
  /** As it was when the dialog was opened: what is decided about does not change under the person who decides. */
  target: Target
  units?: number
  onClose: () => void
  onDone: () => void
  /** After the undo; what is done after the decision when nobody says. */
  onUndone?: () => void
}

export function DecideDialog({ verb, target, units, onClose, onDone, onUndone = onDone }: DecideDialogProps) {
  const [reason, setReason] = useState('')
  const [hours, setHours] = useState(verb === 'snooze' ? '24' : '72')
  const [isSending, setSending] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const form = useRef<HTMLFormElement>(null)
  const name = nameOf(verb, target)
  const { restriction } = target
  const send = async () => {
    if (isSending) return
    setSending(true)
    setError(null)
    const from = verb === 'extend' ? Math.max(Date.parse(restriction!.expires_at), Date.now()) : Date.now()
    try {
      const done = await decide(verb, target, reason, new Date(from + Number(hours) * 3_600_000).toISOString())
      announce(done, onUndone)
      onClose()
      onDone()
    } catch (refused) {
      setError(refused as ApiError)
      setSending(false)
    }
  }
  const ofReason = error?.field('reason')
  return (
    <Dialog title={name} onClose={onClose} footer={<button type="button" class={`btn ${verb === 'release' ? 'danger' : 'main'}`} disabled={isSending} onClick={() => form.current!.requestSubmit()}>{isSending ? 'Deciding…' : name}</button>}>
      {error && !ofReason && <Notice kind="high"><strong>{error.title}</strong>: {error.detail} <code>{error.code}</code></Notice>}
      <p><code>{target.supplier}</code>{restriction && <> · <LevelBadge level={restriction.level} /> · {subjectOf(restriction.scope)}</>}</p>
      {what(verb, target)}
      {verb === 'confirm' && units !== undefined && units > 0 && <p class="quiet">Buyers see {number(units)} units less while it is in force.</p>}
      <form ref={form} class="decide-form" onSubmit={event => { event.preventDefault(); void send() }}
        onKeyDown={event => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.current!.requestSubmit() } }}>
        {(verb === 'extend' || verb === 'snooze') && <SelectField name="hours" label={verb === 'extend' ? 'Longer by' : 'For'} value={hours} options={HOURS} onChange={setHours} error={error?.field('expires_at')} />}
        <TextField name="reason" label="Reason" lines={3} required value={reason} onInput={setReason} error={ofReason} hint={<>Kept with the decision in the audit log. <kbd>Ctrl</kbd> <kbd>Enter</kbd> decides.</>} />
      </form>
    </Dialog>
  )
}
