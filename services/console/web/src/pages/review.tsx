// What waits for a person, one after the other: what is needed to decide stands on one screen, and a key decides.
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, get, post, session } from '../api'
import type { Review as Waiting, ReviewDescribed, ReviewKind, Reviews } from '../api-types'
import { subjectOf, type Target, type Verb } from '../decide/act'
import { DecideDialog, nameOf } from '../decide/dialog'
import { useFeatures } from '../decide/features'
import { Counterfactuals, Odds, Values } from '../decide/parts'
import { useFetched } from '../fetching'
import { count, duration, number, words } from '../format'
import { useKeys } from '../keys'
import { explains, RuleLink, SupplierLink } from '../links'
import { linkTo } from '../pages'
import { query, setQuery } from '../router'
import { useChannel } from '../stream'
import type { ReviewsState } from '../stream-types'
import { SelectFilter } from '../ui/field'
import { Empty, Facts, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'
import { ConditionTree } from '../ui/tree'

const LIST = 100
const KINDS: Array<[ReviewKind, string]> = [['appeal', 'appeals'], ['excess', 'held back by a budget'], ['decision', 'decisions'], ['watch', 'watched']]
const KIND: Record<ReviewKind, string> = { appeal: 'Appeal', excess: 'Over budget', decision: 'Decision', watch: 'Watch' }

/** The time now, a new one each second. */
function useNow(): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  return now
}

const isMine = (of: Waiting, now: number) => !!of.claim && of.claim.actor === session.value?.name && Date.parse(of.claim.until) > now
const isOthers = (of: Waiting, now: number) => !!of.claim && of.claim.actor !== session.value?.name && Date.parse(of.claim.until) > now
const held = (of: Waiting) => of.restriction ?? of.proposal ?? undefined

const dueIn = (at: string, now: number) => Date.parse(at) < now ? `${duration(now - Date.parse(at))} late` : `due in ${duration(Date.parse(at) - now)}`

/** Until when somebody should have looked. */
function Due({ at, now }: { at: string; now: number }) {
  const left = Date.parse(at) - now
  return <span class={left < 0 ? 'badge bad' : left < 3_600_000 ? 'badge warn' : 'badge'} title={`due ${new Date(at).toISOString()}`}>{dueIn(at, now)}</span>
}

/** Minutes and seconds that a claim still holds. */
function ClaimClock({ of, now }: { of: Waiting; now: number }) {
  if (!of.claim || Date.parse(of.claim.until) <= now) return <span class="badge">free</span>
  const left = Math.max(0, Math.round((Date.parse(of.claim.until) - now) / 1_000))
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`
  return isMine(of, now) ? <span class="badge good" role="timer" aria-live="off">yours for {clock}</span> : <span class="badge warn">{of.claim.actor} for {clock}</span>
}

function Queue({ of, open, at, now }: { of: Waiting[]; open: number; at: string | null; now: number }) {
  if (of.length === 0) return <Empty title="Nothing waits"><p>{query.value.get('kind') ? 'Nothing of this kind. Take the filter off, or press Back.' : 'What rules impose or ask for appears here as it happens.'}</p></Empty>
  return (
    <ul class="queue" tabIndex={0} aria-label="Reviews that wait, the most urgent first">
      {of.map(one => (
        <li key={one.id}>
          <button type="button" aria-current={one.id === at ? 'true' : undefined} onClick={() => setQuery({ item: one.id })}>
            <span class="line"><strong>{KIND[one.kind]}</strong><span class="mono clip">{one.supplier}</span>{held(one) && <LevelBadge level={held(one)!.level} />}</span>
            <span class="line quiet"><span class="clip">{held(one)?.rule?.id ?? held(one)?.reasons.map(words).join(', ') ?? ''}</span>{isMine(one, now) ? <span class="mine">yours</span> : isOthers(one, now) ? <span>{one.claim!.actor}</span> : <span>{dueIn(one.due_at, now)}</span>}</span>
          </button>
        </li>
      ))}
      {open > of.length && <li class="quiet pad">and {count(open - of.length)} more</li>}
    </ul>
  )
}

function Item({ of, now }: { of: ReviewDescribed; now: number }) {
  const features = useFeatures()
  const one = held(of)
  const values = one?.values ?? {}
  const stock = of.impact.stock
  const facts = <Values of={values} features={features} only={of.kind === 'appeal' ? 'attested' : undefined} />
  return (
    <>
      <Panel title={`${KIND[of.kind]}`} note={<><Due at={of.due_at} now={now} /> <ClaimClock of={of} now={now} /></>} action={<>{of.restriction && <a class="explain" href={explains(of.restriction.id)}>Explain</a>} {one && <LevelBadge level={one.level} />}</>}>
        <div class="body stack">
          {one?.text && of.kind !== 'appeal' && <p class="lead">{one.text}</p>}
          {of.kind === 'excess' && of.text && <Notice kind="low">Held back: {of.text}</Notice>}
          <Odds values={values} features={features} />
          <Facts of={[
            ['Supplier', <><SupplierLink id={of.supplier} />{of.risk && <span class="quiet"> · score {number(of.risk.score)} of 1,000</span>}</>],
            ['Covers', subjectOf(one?.scope)],
            ['Rule', one?.rule ? <RuleLink id={one.rule.id} /> : of.restriction?.actor ? `none: ${of.restriction.actor} decided it` : '–'],
            ['Evidence', one?.reasons.map(words).join(', ') ?? '–'],
            ['Waits since', <Time at={of.opened_at} />],
            ...(of.restriction ? [['Ends', <Time at={of.restriction.expires_at} />] as [string, preact.ComponentChildren]] : []),
            ['Impact', <>{!stock ? 'stock is not known to this process' : of.impact.withheld_already > 0 && stock.listings === 0 ? 'buyers see nothing of it already' : `buyers see ${count(stock.units)} units in ${count(stock.listings)} listings; ${count(stock.places_empty)} places have no other offer`} · <a class="inline" href={linkTo(undefined, 'impact', { id: of.supplier }, of.restriction ? { decision: of.restriction.id } : undefined)}>goods and reservations</a></>],
          ]} />
        </div>
      </Panel>
      {of.kind === 'appeal' ? (
        <div class="two even">
          <Panel title="What the supplier says" note={of.appellant ? `by ${of.appellant}` : undefined}><p class="body said">{of.text || 'Nothing.'}</p></Panel>
          <Panel title="What is attested" note="by somebody beside the buyer">{facts}</Panel>
        </div>
      ) : <Panel title="Values and who vouches for them">{facts}</Panel>}
      {one?.tree && one.tree.length > 0 && <Panel title="Conditions" note="as they were judged"><div class="body"><ConditionTree lines={one.tree} /></div></Panel>}
      {one?.counterfactuals && one.counterfactuals.length > 0 && <Panel title="What would have had to differ"><Counterfactuals of={one.counterfactuals} features={features} /></Panel>}
    </>
  )
}

interface Deciding { verb: Verb; target: Target; units?: number }

export default function Review() {
  const kind = query.value.get('kind')
  const at = query.value.get('item')
  const now = useNow()
  const changed = useChannel<ReviewsState>('reviews').value?.revision
  const list = useFetched(signal => get<Reviews>('/v1/reviews', { query: { kind, limit: LIST }, signal }).then(of => of.data), [kind], [changed])
  const item = useFetched(signal => at ? get<ReviewDescribed>(`/v1/reviews/${encodeURIComponent(at)}`, { signal }).then(of => of.data) : Promise.resolve(undefined), [at], [changed])
  // With what it is about, as it was then: another item may be shown by the time that the person has written the reason.
  const [deciding, setDeciding] = useState<Deciding | null>(null)
  const [isAsking, setAsking] = useState(false)
  // A second press before the page has shown the first would claim two.
  const isClaiming = useRef(false)
  const shown = item.data?.id === at ? item.data : undefined
  const isGone = at !== null && item.error?.code === 'no_such_review'

  /** The most urgent that nobody has; with a filter, of what is listed. */
  const next = useCallback(async () => {
    if (isClaiming.current) return
    isClaiming.current = true
    setAsking(true)
    try {
      const path = () => {
        if (!kind) return '/v1/reviews:next'
        const free = list.data?.reviews.find(of => !isOthers(of, Date.now()) && of.id !== at)
        if (!free) throw new ApiError(404, 'nothing_to_review', 'Nothing of this kind waits', 'Take the filter off to be given the most urgent of all.')
        return `/v1/reviews/${encodeURIComponent(free.id)}:claim`
      }
      const { data, status } = await post<ReviewDescribed>(path())
      if (status === 202) toast('The claim is kept and will be decided; ask again in a moment')
      else setQuery({ item: data.id })
      list.again()
    } catch (error) {
      if (error instanceof ApiError && error.code === 'nothing_to_review') {
        toast(error.title === 'Nothing of this kind waits' ? error.title : 'Nothing waits that nobody has and that you may judge')
        setQuery({ item: null })
      } else toastError(error)
    } finally {
      isClaiming.current = false
      setAsking(false)
    }
  }, [kind, at, list.data])
  const claim = useCallback(async () => {
    if (!shown || isClaiming.current) return
    isClaiming.current = true
    setAsking(true)
    try {
      await post(`/v1/reviews/${encodeURIComponent(shown.id)}:claim`)
      item.again()
      list.again()
    } catch (error) { toastError(error) } finally {
      isClaiming.current = false
      setAsking(false)
    }
  }, [shown])

  const giveBack = useCallback(async (id: string) => {
    try {
      await post(`/v1/reviews/${encodeURIComponent(id)}:giveback`)
      toast('Given back: the next who asks may be given it')
      item.again()
      list.again()
    } catch (error) { toastError(error) }
  }, [])

  const rule = shown?.restriction?.rule?.id ?? shown?.proposal?.rule.id
  const can = { shown: !!shown, extend: !!shown?.restriction, snooze: !!rule }
  const target = shown && { supplier: shown.supplier, restriction: shown.restriction, review: shown }
  const begin = (verb: Verb) => { if (target) setDeciding({ verb, target, units: shown.impact.stock?.units }) }
  const act = useRef({ next, claim, begin, giveBack: () => undefined as void, move: (_: number) => undefined as void })
  act.current = {
    next, claim, begin,
    giveBack: () => { if (shown && isMine(shown, Date.now())) void giveBack(shown.id) },
    move: by => {
      const rows = list.data?.reviews ?? []
      const to = rows[Math.max(0, Math.min(rows.length - 1, rows.findIndex(of => of.id === at) + by))]
      if (to) setQuery({ item: to.id }, { replace: true })
    },
  }
  useKeys(useMemo(() => [
    { keys: 'n', label: 'Hand me the next', run: () => void act.current.next() },
    { keys: 'j', label: 'Next in the queue', run: () => act.current.move(1) },
    { keys: 'k', label: 'The one before', run: () => act.current.move(-1) },
    ...(can.shown ? [
      { keys: 'a', label: 'Claim it', run: () => void act.current.claim() },
      { keys: 'b', label: 'Give it back', run: () => act.current.giveBack() },
      { keys: 'c', label: 'Confirm it, or turn the appeal down', run: () => act.current.begin('confirm') },
      { keys: 'r', label: 'Release it, or grant the appeal', run: () => act.current.begin('release') },
    ] : []),
    ...(can.extend ? [{ keys: 'e', label: 'Extend it', run: () => act.current.begin('extend') }] : []),
    ...(can.snooze ? [{ keys: 's', label: 'Snooze the rule for this supplier', run: () => act.current.begin('snooze') }] : []),
  ], [can.shown, can.extend, can.snooze]))

  const again = () => {
    list.again()
    item.again()
  }
  const done = ({ verb, target }: Deciding) => {
    again()
    // What was settled hands over to the next; what was only extended or snoozed still waits, and who has gone to another item stays there.
    const isSettled = verb === 'confirm' || verb === 'release'
    if (isSettled && query.peek().get('item') === target.review?.id) void act.current.next()
  }
  return (
    <>
      <PageHead title="Review" note={list.data ? `${count(list.data.open)} open` : undefined}>
        <a class="btn" href={linkTo(undefined, 'bulk', {}, rule ? { rule } : undefined)}>Release in bulk</a>
        <button type="button" class="btn main" disabled={isAsking} onClick={() => void next()}>Hand me the next <kbd>n</kbd></button>
      </PageHead>
      <div class="review">
        <div class="stack">
          <SelectFilter name="kind" label="Kind" options={KINDS} />
          <Panel title="Queue" note="the most urgent first">
            {list.data ? <Queue of={list.data.reviews} open={list.data.open} at={at} now={now} /> : list.error ? <Failed error={list.error} again={list.again} /> : <Loading lines={8} />}
          </Panel>
        </div>
        <div class="stack item">
          {!at ? <section class="panel"><Empty title="Take one"><p>Press <kbd>n</kbd> and the most urgent is handed to you for 15 minutes; nobody else is given it meanwhile. Or choose one of the queue.</p></Empty></section>
            : isGone ? <section class="panel"><Empty title="It waits no more"><p>It was settled, or what it was about has ended. <kbd>n</kbd> hands you the next.</p></Empty></section>
              : item.error && !shown ? <Failed error={item.error} again={item.again} />
                : !shown ? <Loading lines={10} />
                  : <>
                    <div class="acts bar" role="group" aria-label="What to do">
                      {!isMine(shown, now) && <button type="button" class="btn" disabled={isAsking || isOthers(shown, now)} onClick={() => void claim()}>Claim <kbd>a</kbd></button>}
                      <button type="button" class="btn" onClick={() => begin('confirm')}>{nameOf('confirm', target!)} <kbd>c</kbd></button>
                      <button type="button" class="btn danger" onClick={() => begin('release')}>{nameOf('release', target!)} <kbd>r</kbd></button>
                      {isMine(shown, now) && <button type="button" class="btn" onClick={() => void giveBack(shown.id)}>Give back <kbd>b</kbd></button>}
                      {can.extend && <button type="button" class="btn" onClick={() => begin('extend')}>Extend <kbd>e</kbd></button>}
                      {can.snooze && <button type="button" class="btn" onClick={() => begin('snooze')}>Snooze <kbd>s</kbd></button>}
                    </div>
                    {isOthers(shown, now) && <Notice kind="low">{shown.claim!.actor} is at it; it is free again when the claim ends.</Notice>}
                    <Item of={shown} now={now} />
                  </>}
        </div>
      </div>
      {deciding && <DecideDialog {...deciding} onClose={() => setDeciding(null)} onDone={() => done(deciding)} onUndone={again} />}
    </>
  )
}
