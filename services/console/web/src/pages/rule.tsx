// One rule: what it says, what it promised and how it fared, its examples, and what can be done with it alone.
import { useState } from 'preact/hooks'
import { get, post } from '../api'
import type { Mode, RuleHistory, RuleSpec } from '../api-types'
import { useFetched } from '../fetching'
import { count, words } from '../format'
import { go } from '../router'
import { useChannel } from '../stream'
import type { RulesState } from '../stream-types'
import { TextField } from '../ui/field'
import { Empty, Facts, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toast } from '../ui/toast'
import type { PageProps } from './index'
import { draft, keep, rulesInForce } from './rules-draft'
import { budget, came, heldBy, ModeBadge, MODES, promise, TruthBadge, WhyDialog } from './rules-parts'
import { withKey } from './rules-text'

/** What is true of it when it is held back, around when that began. */
const HELD = {
  exceeded: ['It exceeded its budget', ' and withholds nobody more'], suspect: ['Since', ' it only watches, for what it measures by is suspect'],
  stopped: ['It was stopped', ' and does nothing'],
} as const

function Days({ of }: { of: RuleHistory }) {
  if (of.days.length === 0) return <Empty title="It has not acted in the last 30 days" />
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="How it fared, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Day</th>{['Imposed', 'Withheld', 'Confirmed', 'Released', 'Overturned', 'Run out', 'Over budget', 'In shadow', 'Only in shadow'].map(head => <th key={head} scope="col" class="num">{head}</th>)}</tr></thead>
        <tbody>{[...of.days].reverse().map(({ day, counts, shadow }) => (
          <tr key={day}><td class="nowrap">{day.slice(0, 10)} <span class="dim">UTC</span></td>
            {[counts.imposed, counts.withheld, counts.confirmed, counts.released, counts.overturned, counts.expired, counts.over_budget, shadow.suppliers, shadow.only_shadow].map((value, at) => <td key={at} class="num">{count(value)}</td>)}</tr>
        ))}</tbody>
      </table>
    </div>
  )
}

function Snooze({ id, onClose }: { id: string; onClose: () => void }) {
  const [supplier, setSupplier] = useState('')
  const [until, setUntil] = useState('')
  const act = async (reason: string) => {
    const expires_at = until ? new Date(until).toISOString() : undefined
    const { status, data } = await post<unknown>(`/v1/rules/${encodeURIComponent(id)}:snooze`, { supplier, expires_at, reason })
    return came(status, data, `${id} is mute for ${supplier}.`)
  }
  return (
    <WhyDialog title={`Mute ${id} for one supplier`} verb="Mute" act={act} onClose={onClose}>
      <TextField name="supplier" label="Supplier" value={supplier} onInput={setSupplier} required />
      <TextField name="expires_at" label="Until" type="datetime-local" value={until} onInput={setUntil} required hint="In your time zone" />
    </WhyDialog>
  )
}

export default function Rule({ params }: PageProps) {
  const id = params.id!
  const version = useChannel<RulesState>('rules').value?.version
  const set = useFetched(rulesInForce, [], [version])
  const history = useFetched(signal => get<RuleHistory>(`/v1/rules/${encodeURIComponent(id)}/history`, { signal }).then(of => of.data), [id], [version])
  const [asked, setAsked] = useState<'snooze' | 'rearm' | null>(null)
  const rule: RuleSpec | undefined = set.data?.rules.find(of => of.id === id)
  if (!set.data) return <><PageHead title={id} />{set.error ? <Failed error={set.error} again={set.again} /> : <Loading lines={10} />}</>
  if (!rule) return <><PageHead title={id} /><Empty title="There is no such rule in force"><p>It may have been in another version. <a href="/console/rules">Look at all rules</a>.</p></Empty></>
  const { source, version: base } = set.data
  const exceeded = set.data.exceeded[id]
  const change = (mode: Mode) => {
    const was = draft() ?? { text: source, base, baseText: source }
    let text = withKey(was.text, id, 'mode', mode)
    if (text && mode === 'canary' && !rule.canary_percent) text = withKey(text, id, 'canary_percent', '10')
    if (!text) toast('This rule was not found in the text of the set; change its mode in the editor.', { isBad: true })
    else keep({ ...was, text })
    go(`/console/rules/edit?rule=${encodeURIComponent(id)}`)
  }
  const rearm = async (reason: string) => {
    const { status, data } = await post<unknown>(`/v1/rules/${encodeURIComponent(id)}:rearm`, { reason })
    set.again()
    return came(status, data, `${id} may act again.`)
  }
  return (
    <>
      <PageHead title={id} note={rule.title}>
        <label class="hidden-visually" for="mode">Mode</label>
        <select class="select" id="mode" value={rule.mode} onChange={event => change(event.currentTarget.value as Mode)}>{MODES.map(([name, text, note]) => <option key={name} value={name}>{text}: {note}</option>)}</select>
        <button type="button" class="btn" onClick={() => setAsked('snooze')}>Mute for a supplier</button>
        <a class="btn main" href={`/console/rules/edit?rule=${encodeURIComponent(id)}`}>Edit</a>
      </PageHead>
      {exceeded && <Notice kind="high" action={<button type="button" class="btn small" onClick={() => setAsked('rearm')}>Let it act again</button>}>{HELD[heldBy(exceeded)][0]} <Time at={exceeded.at} />{HELD[heldBy(exceeded)][1]}: {exceeded.detail}</Notice>}
      <div class="rule-grid">
        <Panel title="What it says">
          <div class="body rule-says">
            <h3>When</h3><pre tabIndex={0} aria-label="Condition">{rule.when || 'the promise below is all there is'}</pre>
            {rule.cure && <><h3>Ends early when</h3><pre tabIndex={0} aria-label="Cure">{rule.cure}</pre></>}
            <Facts of={[
              ['Mode', <ModeBadge rule={rule} />], ['Level', <LevelBadge level={rule.level} />], ['Covers', rule.scope], ['For', rule.for],
              ['Promise', promise(rule) || 'none'], ['Budget', budget(rule.budget) || 'shared with all rules'], ['Evidence', <code>{rule.evidence}</code>],
              ['Codes', rule.reasons.map(words).join(', ')], ['Supplier is told', rule.text || '–'], ['Owner', rule.owner || '–'], ['Notes', rule.notes || '–'],
            ]} />
          </div>
        </Panel>
        <Panel title="Examples" note="must come out as written before a set is used">
          {(rule.examples ?? []).length === 0 ? <Empty title="It has no example"><p>Try it in the editor and keep what you tried.</p></Empty> : (
            <table class="plain-table"><tbody>{rule.examples!.map(of => (
              <tr key={of.name}><td>{of.name}<div class="quiet mono">{Object.entries(of.given).map(([name, value]) => `${name} ${value}`).join(', ')}</div></td><td class="num"><TruthBadge of={of.expect} /></td></tr>
            ))}</tbody></table>
          )}
        </Panel>
      </div>
      <Panel title="How it fared" note={history.data?.precision === null || !history.data ? 'last 30 days' : `last 30 days, ${Math.round(history.data.precision * 100)} % of what people looked at was right`}>
        {history.data ? <Days of={history.data} /> : history.error ? <Failed error={history.error} again={history.again} /> : <Loading />}
      </Panel>
      {asked === 'snooze' && <Snooze id={id} onClose={() => setAsked(null)} />}
      {asked === 'rearm' && <WhyDialog title={`Let ${id} act again`} verb="Let it act" act={rearm} onClose={() => setAsked(null)}><p>It counts anew within its budget.</p></WhyDialog>}
    </>
  )
}
