// The editor of the rule set: what the engine's own checker says while one types, what would change, and putting it in force.
import type { Diagnostic } from '@codemirror/lint'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, api, post, session } from '../api'
import type { ImpactOfRules, RuleSet, RuleSetInForce, RuleSpec } from '../api-types'
import { useFetched, useLast } from '../fetching'
import { count } from '../format'
import { go, query, setQuery } from '../router'
import { useChannel } from '../stream'
import type { RulesState } from '../stream-types'
import { Dialog } from '../ui/dialog'
import { Diff, diffLines } from '../ui/diff'
import { Editor } from '../ui/editor'
import { TextField } from '../ui/field'
import { Empty, Failed, Loading, Notice, PageHead, Panel, Segments } from '../ui/states'
import { toast } from '../ui/toast'
import { completeRules } from './rules-complete'
import { checkRules, draft, faultsOf, keep, rulesInForce, spanOf, warningsOf, yamlBody, type Fault, type Written } from './rules-draft'
import { came, Waiting } from './rules-parts'
import { merge } from './rules-text'
import { Try } from './rules-try'

const lines = (of: number) => `${count(of)} ${of === 1 ? 'line' : 'lines'}`

type View = 'text' | 'changes' | 'behaviour'
interface Checked { text: string; faults: Fault[]; set?: RuleSet; error?: ApiError }

/** What of suppliers and stock buyers would no longer see: now, and with what is written. */
function Behaviour({ text, isFine, isChanged }: { text: string; isFine: boolean; isChanged: boolean }) {
  const asked = useFetched(async signal => {
    const [now, then] = await Promise.all([
      post<ImpactOfRules>('/v1/rules:impact', undefined, { signal }), post<ImpactOfRules>('/v1/rules:impact', undefined, { ...yamlBody(text), signal }),
    ])
    return { now: now.data, then: then.data }
  }, [])
  if (!isFine) return <Empty title="The text has errors"><p>What it would do is known when it passes the checker.</p></Empty>
  if (asked.error) return <Failed error={asked.error} again={asked.again} />
  if (!asked.data) return <Loading lines={6} label="Looking at all suppliers" />
  const { now, then } = asked.data
  const rules = [...new Set([...Object.keys(now.rules), ...Object.keys(then.rules)])].sort()
  const added = then.names.filter(name => !now.names.includes(name))
  const row = (name: string, before: number, after: number, unit: string) => (
    <tr key={name}><td>{name}</td><td class="num">{count(before)}</td><td class="num">{count(after)}</td><td class={`num ${after === before ? 'dim' : 'strong'}`}>{after > before ? '+' : ''}{count(after - before)}</td><td class="quiet">{unit}</td></tr>
  )
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="What it would do, table">
      <table class="plain-table">
        <thead><tr><th scope="col">If every rule that withholds were live now</th><th scope="col" class="num">In force</th><th scope="col" class="num">{isChanged ? 'As written' : 'As written (no change)'}</th><th scope="col" class="num">Difference</th><th scope="col">Unit</th></tr></thead>
        <tbody>
          {row('Withheld', now.suppliers, then.suppliers, 'suppliers')}
          {now.stock && then.stock && <>{row('Offers', now.stock.listings, then.stock.listings, 'listings')}{row('Stock', now.stock.units, then.stock.units, 'units')}{row('Goods nobody else offers', now.stock.goods_empty, then.stock.goods_empty, 'goods')}</>}
          {rules.map(rule => row(rule, now.rules[rule] ?? 0, then.rules[rule] ?? 0, 'suppliers'))}
        </tbody>
      </table>
      {added.length > 0 && <p class="body quiet">Newly withheld, of the first that are named: <span class="mono">{added.slice(0, 20).join(', ')}</span></p>}
      {then.outdated > 0 && <p class="body quiet">Of {count(then.outdated)} suppliers nothing can be said: their last score is of features that were in force before.</p>}
    </div>
  )
}

function Faults({ of, isLate }: { of: Checked | null; isLate: boolean }) {
  if (!of) return <p class="quiet check" role="status">Not checked yet</p>
  if (of.error) return <Notice kind="low">Not checked: {of.error.detail}</Notice>
  const errors = of.faults.filter(fault => !fault.isWarning).length
  return (
    <div class="check" role="status" aria-label="What the checker says">
      <p class={errors > 0 ? 'bad' : 'good'}>{errors > 0 ? `${errors} ${errors === 1 ? 'error' : 'errors'}; F8 in the editor goes to the next` : `Checked: ${of.set?.rules.length ?? 0} rules and their examples are fine`}{isLate && <span class="dim"> (checking what was typed since)</span>}</p>
      {of.faults.length > 0 && <ol tabIndex={0} aria-label="Errors and warnings">{of.faults.map((fault, at) => (
        <li key={at}><span class={`badge ${fault.isWarning ? 'warn' : 'bad'}`}>{fault.line}:{fault.column}</span> {fault.rule && <span class="mono">{fault.rule}: </span>}<span class="fault">{fault.detail}</span></li>
      ))}</ol>}
    </div>
  )
}

function Publish({ written, onClose, onDone, onStale }: { written: Written; onClose: () => void; onDone: (version: string | null) => void; onStale: () => void }) {
  const [note, setNote] = useState(written.note ?? '')
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  const publish = () => {
    setBusy(true)
    keep({ ...written, note })
    api<RuleSet>('PUT', '/v1/rules', { ...yamlBody(written.text), query: { note }, ifMatch: `"${written.base}"` }).then(
      ({ status, data }) => {
        toast(came(status, data, `Version ${data.version} is in force.`))
        onDone(status === 202 ? null : data.version)
      },
      (failed: ApiError) => {
        setBusy(false)
        if (failed.status === 412) onStale()
        else setError(failed)
      },
    )
  }
  return (
    <Dialog title="Publish" onClose={onClose} footer={<button type="button" class="btn main" disabled={isBusy} onClick={publish}>{isBusy ? 'Publishing…' : 'Publish'}</button>}>
      {error && <Notice kind="high">{error.title}: {error.detail}</Notice>}
      <TextField name="note" label="Why, for those who come after" value={note} onInput={setNote} lines={2} />
      <Diff before={written.baseText} after={written.text} />
    </Dialog>
  )
}

/** Somebody else published while one wrote: what they changed, and three ways to go on. Nothing that was typed is lost by any of them. */
function Stale({ written, now, wasRefused, onText }: { written: Written; now: RuleSetInForce; wasRefused: boolean; onText: (next: Written) => void }) {
  const [isShown, setShown] = useState(wasRefused)
  useEffect(() => { if (wasRefused) setShown(true) }, [wasRefused])
  const on = { base: now.version, baseText: now.source, note: written.note }
  const take = (text: string, said: string) => { setShown(false); onText({ ...on, text }); toast(said) }
  const both = () => {
    const { text, conflicts } = merge(written.baseText, written.text, now.source)
    take(text, conflicts === 0 ? 'Both changes are in the text now. Look at the changes before you publish.' : `Both changed the same lines ${conflicts === 1 ? 'in one place' : `in ${conflicts} places`}: look for <<<<<<< and choose.`)
  }
  return (
    <>
      <Notice kind="high" action={<button type="button" class="btn small" onClick={() => setShown(true)}>Compare and merge</button>}>
        {wasRefused ? 'Not published: ' : ''}version {now.version} came into force while you wrote on {written.base}. What you typed is kept.
      </Notice>
      {isShown && (
        <Dialog title="Another version is in force" onClose={() => setShown(false)} footer={<>
          <button type="button" class="btn" onClick={() => take(written.text, 'Your text stays as it is and would now replace theirs. Look at the changes before you publish.')}>Keep mine as it is</button>
          <button type="button" class="btn main" onClick={both}>Merge both</button>
        </>}>
          <h3>What they changed</h3><Diff before={written.baseText} after={now.source} />
          <h3>What you changed</h3><Diff before={written.baseText} after={written.text} />
        </Dialog>
      )}
    </>
  )
}

export default function RulesEdit() {
  const state = useChannel<RulesState>('rules').value
  const inForce = useFetched(rulesInForce, [], [state?.version, state?.drafts])
  const now = inForce.data
  const [turn, setTurn] = useState(0)
  const [checked, setChecked] = useState<Checked | null>(null)
  const [isPublishing, setPublishing] = useState(false)
  const [isDiscarding, setDiscarding] = useState(false)
  const [refused, setRefused] = useState('')
  const rules = useRef<RuleSpec[]>([])
  if (now && rules.current.length === 0) rules.current = now.rules
  const beginCheck = useLast()
  const kept = draft()
  // Whoever has changed nothing writes on what is in force.
  const clean = now && { text: now.source, base: now.version, baseText: now.source }
  const written: Written | undefined = kept ?? clean
  const before = useRef<string | undefined>(undefined)
  useEffect(() => {
    if (before.current && now && !draft() && before.current !== now.version) setTurn(was => was + 1)
    before.current = now?.version
  }, [now?.version])
  useEffect(() => {
    const warn = (event: KeyboardEvent) => {
      if (event.key !== 's' || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      toast('What you type is kept in this tab as you type; publish it when it is right.')
    }
    addEventListener('keydown', warn)
    return () => removeEventListener('keydown', warn)
  }, [])
  if (!now || !written) return <><PageHead title="Edit rules" />{inForce.error ? <Failed error={inForce.error} again={inForce.again} /> : <Loading lines={16} />}</>

  const isChanged = written.text !== written.baseText
  const isStale = isChanged && written.base !== now.version
  const isFine = checked?.text === written.text && !!checked.set
  const asked = query.value.get('view')
  const view: View = asked === 'changes' || asked === 'behaviour' ? asked : 'text'
  const onChange = (text: string) => keep({ ...(draft() ?? { base: now.version, baseText: now.source }), text })
  /** A text that was not typed: the editor begins anew with it. */
  const replace = (next: Written | null) => { beginCheck(); keep(next); setTurn(was => was + 1); setChecked(null); setRefused('') }
  const check = async (text: string): Promise<Diagnostic[]> => {
    // What is said of a text that was typed before must not take the place of what is said of this one.
    const isLast = beginCheck()
    try {
      const set = await checkRules(text)
      const faults = warningsOf(set)
      if (isLast()) {
        rules.current = set.rules
        setChecked({ text, faults, set })
      }
      return faults.map(fault => ({ ...spanOf(text, fault), severity: 'warning', message: fault.detail }))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      const faults = error.status === 422 ? faultsOf(error) : []
      if (isLast()) setChecked(faults.length > 0 ? { text, faults } : { text, faults, error })
      return faults.map(fault => ({ ...spanOf(text, fault), severity: 'error', message: fault.detail }))
    }
  }
  const changed = isChanged ? diffLines(written.baseText, written.text).filter(line => line.kind === 'add' || line.kind === 'del').length : 0
  return (
    <>
      <PageHead title="Edit rules" note={<>on version <span class="mono" data-testid="base">{written.base}</span>{changed > 0 ? `, ${lines(changed)} changed` : ''}</>}>
        {isChanged && <button type="button" class="btn" onClick={() => setDiscarding(true)}>Discard</button>}
        <a class="btn" href="/console/backtest">Backtest</a>
        <button type="button" class="btn main" disabled={!isChanged || !isFine} title={!isChanged ? 'Nothing has changed' : isFine ? undefined : 'The checker has not passed it'} onClick={() => setPublishing(true)}>Publish…</button>
      </PageHead>
      {isStale && <Stale written={written} now={now} wasRefused={refused === written.text} onText={replace} />}
      <Waiting source={now.source} again={inForce.again} revision={`${state?.drafts}${now.version}${turn}`} />
      <div class="filters"><Segments<View> label="Show" value={view} options={[['text', 'Text'], ['changes', 'Changes'], ['behaviour', 'What it would do']]} onChange={value => setQuery({ view: value === 'text' ? null : value })} /></div>
      <div class="rules-edit">
        <div class="main-part">
          <div hidden={view !== 'text'} class="rules-editor"><Editor key={turn} doc={written.text} label="Rule set" onChange={onChange} check={check} complete={completeRules} /></div>
          {view === 'changes' && <Panel title="Changes" note={`against version ${written.base}`}><div class="body"><Diff before={written.baseText} after={written.text} /></div></Panel>}
          {view === 'behaviour' && <Panel title="What it would do" note="to buyers, now"><Behaviour key={written.text} text={written.text} isFine={isFine} isChanged={isChanged} /></Panel>}
          <Faults of={checked} isLate={checked !== null && checked.text !== written.text} />
        </div>
        <Try text={written.text} rules={rules.current} onText={text => replace({ ...written, text })} />
      </div>
      {isPublishing && (
        <Publish written={written} onClose={() => setPublishing(false)}
          onStale={() => { setPublishing(false); setRefused(written.text); inForce.again() }}
          onDone={version => {
            setPublishing(false)
            // A draft that waits is on the server now; what is shown is what is in force.
            replace(null)
            inForce.again()
            if (version) go('/console/rules')
          }} />
      )}
      {isDiscarding && (
        <Dialog title="Discard what you have written?" onClose={() => setDiscarding(false)} footer={<button type="button" class="btn danger" onClick={() => { setDiscarding(false); replace(null) }}>Discard {lines(changed)}</button>}>
          <p>{session.value?.name}, the text goes back to the version that is in force. This cannot be undone.</p>
        </Dialog>
      )}
    </>
  )
}
