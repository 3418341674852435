// One decision, explained: what the rule saw, who vouches for it, what would have had to differ, and how it went from the event on.
import { useCallback, useMemo, useState } from 'preact/hooks'
import { ApiError, get, post } from '../api'
import type { DecisionTold, Restriction, RulesExplained } from '../api-types'
import { subjectOf, type Verb } from '../decide/act'
import { DecideDialog } from '../decide/dialog'
import { useFeatures, VOUCHED } from '../decide/features'
import { Counterfactuals, Odds, Origin, Values, Vouched } from '../decide/parts'
import { useFetched } from '../fetching'
import { duration, time, timeOfDay, utc, words } from '../format'
import { useKeys } from '../keys'
import { SupplierLink } from '../links'
import { linkTo, type PageProps } from '../pages'
import { useDecisions, type Row } from '../stream'
import { ActionWord, Empty, Facts, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { ConditionTree } from '../ui/tree'

const MARK = { true: 'holds', false: 'does not hold', unknown: 'cannot be judged' }

/** What the rule of a decision says of the supplier at this moment; listings are judged as they are submitted, and have no "now". */
function Now({ of, supplier }: { of: Restriction; supplier: string }) {
  const now = useFetched(signal => post<RulesExplained>('/v1/rules:explain', { supplier, rule: of.rule!.id }, { signal }).then(({ data }) => data.rules[0]), [supplier, of.rule!.id])
  if (now.isLoading) return <Loading lines={3} />
  if (now.error) return <p class="quiet pad">{now.error.title}: {now.error.detail}</p>
  if (!now.data) return <Empty title="The rule is no longer in the set" />
  return (
    <div class="body">
      <p class="pad-below">The rule <strong>{MARK[now.data.truth]}</strong> now{now.data.mode === 'live' ? '' : `, and is in ${now.data.mode}`}{now.data.content !== of.rule!.content ? '; it was written anew since the decision' : ''}.</p>
      <ConditionTree lines={now.data.tree} />
    </div>
  )
}

/** To the millisecond, where the day is today's. */
function Precise({ at }: { at: string }) {
  const isToday = new Date(at).toDateString() === new Date().toDateString()
  return <time dateTime={at} title={utc(at)}>{isToday ? `${timeOfDay(at)}.${String(new Date(at).getMilliseconds()).padStart(3, '0')}` : time(at)}</time>
}

interface Moment { at: string | null; what: preact.ComponentChildren; note?: string }

/** What begins to hide offers, and what shows them again. */
const HIDES = new Set(['imposed', 'raised'])
const SHOWS = new Set(['released', 'expired', 'cured', 'unlinked', 'allowed', 'lowered'])
const WITHHOLDS = new Set(['quarantine', 'lockout'])

function Timeline({ told, of }: { told: DecisionTold; of: Restriction }) {
  const moments: Moment[] = []
  if (of.cause) moments.push({ at: of.cause.time, what: <>Event <code class="anywhere">{of.cause.id}</code> in the log</> })
  const story = [...told.story].reverse()
  for (const step of story) {
    moments.push({ at: step.at, what: <><ActionWord action={step.action} />{step.actor && <> by {step.actor}</>}</>, note: step.note ?? undefined })
    const hides = HIDES.has(step.action)
    if (!hides && !SHOWS.has(step.action)) continue
    const what = !WITHHOLDS.has(of.asked ?? of.level) ? 'In effect for buyers here' : hides ? 'Offers gone from buyers here' : 'Offers back with buyers here'
    if (step.applied_at) moments.push({ at: step.applied_at, what })
    else moments.push({ at: null, what: <span class="quiet">{what}: when is not known here, {told.serves_buyers ? 'for the server has started since, or has applied many decisions since' : 'for another process serves buyers'}</span> })
  }
  if (story.length === 0) moments.push({ at: of.since, what: 'In force since' })
  if (told.in_force) moments.push({ at: of.expires_at, what: 'Ends, if nobody prolongs it' })
  return (
    <ol class="timeline">
      {moments.map((moment, at) => {
        const before = moments.slice(0, at).findLast(of => of.at !== null)
        const gap = moment.at && before?.at ? Date.parse(moment.at) - Date.parse(before.at) : null
        return (
          <li key={at}>
            <span class="num dim gap">{gap === null ? '' : `+${duration(Math.max(0, gap))}`}</span>
            <div><div>{moment.what}</div>{moment.note && <div class="said">{moment.note}</div>}{moment.at && <div class="quiet"><Precise at={moment.at} /></div>}</div>
          </li>
        )
      })}
    </ol>
  )
}

export default function Explain({ params }: PageProps) {
  const id = params.id!
  const features = useFeatures()
  const told = useFetched(signal => get<DecisionTold>(`/v1/decisions/${encodeURIComponent(id)}`, { signal }).then(of => of.data), [id])
  const [verb, setVerb] = useState<Verb | null>(null)
  // Whoever decides about it in another tab is seen here.
  const supplier = told.data?.supplier
  useDecisions(useCallback((rows: Row[]) => { if (rows.some(row => row.supplier === supplier)) told.again() }, [supplier]))
  const inForce = told.data?.in_force === true
  const hasRule = !!told.data?.restriction?.rule
  useKeys(useMemo(() => !inForce ? [] : [
    { keys: 'r', label: 'Release it', run: () => setVerb('release') },
    { keys: 'c', label: 'Confirm it', run: () => setVerb('confirm') },
    { keys: 'e', label: 'Extend it', run: () => setVerb('extend') },
    ...(hasRule ? [{ keys: 's', label: 'Snooze its rule for this supplier', run: () => setVerb('snooze') }] : []),
  ], [inForce, hasRule]))

  if (told.isLoading) return <><PageHead title="Explain" /><Loading lines={10} /></>
  if (told.error && (!told.data || told.error.status === 404)) return <><PageHead title="Explain" /><Failed error={told.error} again={told.again} /></>
  const of = told.data!.restriction
  if (!of) return <><PageHead title="Explain" /><Failed error={new ApiError(404, 'no_such_decision', 'The decision is too old', 'Only the last decisions are kept here; the audit log has all of them.')} /></>
  const target = { supplier: told.data!.supplier, restriction: of }
  const impact = linkTo(undefined, 'impact', { id: target.supplier }, { decision: of.id })
  return (
    <>
      <PageHead title="Explain" note={<code>{of.id}</code>}>
        {inForce && <>
          <a class="btn" href={impact}>Impact</a>
          {hasRule && <button type="button" class="btn" onClick={() => setVerb('snooze')}>Snooze <kbd>s</kbd></button>}
          <button type="button" class="btn" onClick={() => setVerb('extend')}>Extend <kbd>e</kbd></button>
          {!of.confirmed && <button type="button" class="btn" onClick={() => setVerb('confirm')}>Confirm <kbd>c</kbd></button>}
          <button type="button" class="btn danger" onClick={() => setVerb('release')}>Release <kbd>r</kbd></button>
        </>}
      </PageHead>
      {told.error && <Notice kind="low">{told.error.title}: {told.error.detail}</Notice>}
      {!inForce && <Notice kind="info">This is no longer in force; the timeline says what ended it.</Notice>}
      <div class="two">
        <div class="stack">
          <Panel title="What was decided" action={<LevelBadge level={of.level} />}>
            <div class="body stack">
              {of.text && <p class="lead">{of.text}</p>}
              <Odds values={of.values ?? {}} features={features} />
              <Facts of={[
                ['Supplier', <SupplierLink id={target.supplier} />],
                ['Covers', subjectOf(of.scope)],
                [of.rule ? 'Rule' : 'Person', <Origin of={of} />],
                ['Evidence', of.reasons.map(words).join(', ')],
                ['Vouched for by', of.vouched?.length ? <>{of.vouched.map(by => <div key={by}><Vouched by={by} /> <span class="quiet">{VOUCHED[by]}</span></div>)}</> : 'it counts no outcomes of orders'],
                ['Since', <Time at={of.since} />],
                ['Ends', <Time at={of.expires_at} />],
                ['Confirmed', of.confirmed ? <>by {of.confirmed.actor}, <Time at={of.confirmed.at} /></> : 'by nobody yet'],
                ...(of.by_association ? [['Rests on', 'links to others: it ends when they do'] as [string, string]] : []),
                ...(of.holdout ? [['Held out', 'only dimmed, to keep evidence of how right the rule is'] as [string, string]] : []),
              ]} />
            </div>
          </Panel>
          <Panel title="Conditions" note="as they were judged then">
            {of.tree?.length ? <div class="body"><ConditionTree lines={of.tree} /></div> : <Empty title="No conditions"><p>A person decided it, not a rule.</p></Empty>}
          </Panel>
          <Panel title="Values and who vouches for them"><Values of={of.values ?? {}} features={features} /></Panel>
          <Panel title="What would have had to differ"><Counterfactuals of={of.counterfactuals ?? []} features={features} /></Panel>
        </div>
        <div class="stack">
          <Panel title="From the event on"><Timeline told={told.data!} of={of} /><p class="quiet pad">For all decisions together: <a class="inline" href={linkTo(undefined, 'overview')}>Event to invisible</a>.</p></Panel>
          {of.rule && of.scope.kind !== 'listing' && <Panel title="The rule now"><Now of={of} supplier={target.supplier} /></Panel>}
        </div>
      </div>
      {verb && <DecideDialog verb={verb} target={target} onClose={() => setVerb(null)} onDone={told.again} />}
    </>
  )
}
