// A supplier's own page: what is in force against it and why, what would ease it, its appeals with their clock, its imports and listings.
import { useCallback, useMemo, useState } from 'preact/hooks'
import { ApiError, get, post, session } from '../api'
import type { Appeal, AppealOpened, Appeals, DecidedLater, DecisionFacts, Level, RestrictionFacts, Scope, Standing, Supplier } from '../api-types'
import { useFetched } from '../fetching'
import { count, duration, number, words } from '../format'
import { query, setQuery } from '../router'
import { forgetPlace, useDecisions, type Row } from '../stream'
import { Dialog } from '../ui/dialog'
import { TextField } from '../ui/field'
import { Figure } from '../ui/figure'
import { ActionWord, Empty, Facts, Failed, LevelBadge, Loading, PageHead, Panel, Segments, Time } from '../ui/states'
import { toast } from '../ui/toast'
import { Imports } from './standing-imports'
import { Until } from './until'
import { Listings } from './standing-listings'

type View = 'standing' | 'imports' | 'listings'
const APPEAL_CHARS_MAX = 4_000

/** What a level does, as the statement of reasons says it. */
const DOES: Record<Level, string> = {
  watch: 'Somebody looks at what you do; buyers notice nothing.',
  limit: 'You can change your inventory less often than others.',
  cap: 'Your offers are shown, but no more can be reserved or ordered than you have handed over lately.',
  dim: 'Your offers are shown after those of others, and no more can be ordered than you have handed over lately.',
  quarantine: 'Your offers are not shown to buyers. You can still change your inventory.',
  lockout: 'Your offers are not shown to buyers, and you can only reduce or withdraw what you offer.',
}

/** What one can do about a reason. How much would be enough is told to nobody, so that nobody trades just below it. */
const EASES: Record<string, string> = {
  DEFECT_RATE: 'Ship what is ordered, on time and with a number that can be followed, and take off the market what you cannot deliver.',
  PHANTOM_STOCK: 'Set the stock of what is not on your shelf to what is there, to nothing if need be.',
  QUANTITY_IMPLAUSIBLE: 'Correct quantities that are not on your shelf; if they are, say so in an appeal.',
  PRICE_OUTLIER: 'Correct the prices of the listings that are named; if a price is meant as it is, say so in an appeal.',
  UPDATE_VELOCITY: 'Send what has changed once, rather than everything again and again.',
  CREDENTIAL_ANOMALY: 'Make sure that nobody else has your keys or your account, and tell the marketplace what changed.',
  LINKED_SUPPLIER: 'If an account, a device or an address that you share with others is not yours any more, say so in an appeal.',
  MANUAL_REVIEW: 'A person looks at it; what you know about it helps in an appeal.',
}

export function covers(scope: Scope): string {
  switch (scope.kind) {
    case 'supplier': return 'everything you offer'
    case 'region': return `everything you offer in ${scope.region}`
    case 'sku': return `what you offer of ${scope.sku}`
    case 'listing': return `your listing ${scope.listing}`
  }
}

const VOUCHED: Record<string, string> = {
  attested: 'the marketplace, a carrier, a card issuer or yourself',
  witnessed: 'buyers, each weighed by a record that does not depend on you',
  claimed: 'buyers',
}

function AppealDialog({ supplier, of, onClose, onDone }: { supplier: string; of: RestrictionFacts; onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState('')
  const [error, setError] = useState<ApiError | null>(null)
  const [isSending, setSending] = useState(false)
  const send = async () => {
    setSending(true)
    setError(null)
    try {
      const { data } = await post<AppealOpened | DecidedLater>(`/v1/suppliers/${encodeURIComponent(supplier)}/appeals`, { decision: of.decision, text })
      toast('due_at' in data ? 'Your appeal is on record; a person answers it.' : 'Your appeal is on record and shows here in a moment.')
      onDone()
      onClose()
    } catch (failed) {
      setError(failed as ApiError)
      setSending(false)
    }
  }
  return (
    <Dialog title={<>Appeal against <LevelBadge level={of.level} /></>} onClose={onClose} footer={<button type="button" class="btn main" disabled={isSending || !text.trim()} onClick={() => void send()}>Send the appeal</button>}>
      <p>{of.text}</p>
      <TextField name="text" label="Why is it wrong?" required lines={8} value={text} onInput={setText} error={error?.field('text')}
        hint={`${count(text.length)} of ${count(APPEAL_CHARS_MAX)} characters. Say what happened and what shows it; a person reads it beside the facts.`} />
      {error && !error.field('text') && <p class="field" role="alert"><span class="error">{error.title}: {error.detail}</span></p>}
    </Dialog>
  )
}

function InForce({ supplier, of, appeals, onAppeal }: { supplier: string; of: RestrictionFacts; appeals: Appeal[]; onAppeal: () => void }) {
  const told = useFetched(signal => get<DecisionFacts>(`/v1/suppliers/${encodeURIComponent(supplier)}/decisions/${encodeURIComponent(of.decision)}`, { signal }).then(answer => answer.data), [supplier, of.decision], [of.since, of.level])
  const open = appeals.find(appeal => appeal.decision === of.decision && appeal.outcome === 'open')
  const statement = `/v1/suppliers/${encodeURIComponent(supplier)}/decisions/${encodeURIComponent(of.decision)}/statement`
  return (
    <section class="panel in-force" aria-label={`${of.level}, ${covers(of.scope)}`} data-decision={of.decision}>
      <header>
        <h2 class="row"><LevelBadge level={of.level} /> {covers(of.scope)}</h2>
        <span class="push">{open ? <span class="quiet">Appealed, answer due {open.due_at ? <Until at={open.due_at} /> : 'soon'}</span> : <button type="button" class="btn" onClick={onAppeal}>Appeal</button>}</span>
      </header>
      <div class="body">
        <div class="said"><p class="what">{DOES[of.level]}</p>{of.text && <p>{of.text}</p>}</div>
        <div class="columns">
          <div>
            <h3>Why</h3>
            {told.isLoading ? <Loading lines={2} /> : told.error && !told.data ? <p class="quiet">{told.error.detail}</p> : (
              <>
                {told.data!.counted.length > 0 && <table class="plain-table"><tbody>{told.data!.counted.map(({ what, value }) => <tr key={what}><td>{what}</td><td class="num">{number(value)}</td></tr>)}</tbody></table>}
                <p class="quiet">{told.data!.automatic ? 'A rule found it.' : 'A person decided it.'}{of.vouched.length > 0 && <> Vouched for by {of.vouched.map(name => VOUCHED[name]).join('; ')}.</>}</p>
              </>
            )}
          </div>
          <div>
            <h3>What would ease it</h3>
            <ul class="eases">{of.reasons.map(reason => <li key={reason}><span class="badge">{words(reason)}</span> {EASES[reason] ?? 'Correct what it names, or say in an appeal why it is wrong.'}</li>)}</ul>
          </div>
          <div>
            <h3>When</h3>
            <Facts of={[['Since', <Time at={of.since} />], ['A person looks by', <Time at={of.review_at} />], ['Ends by itself', <><Time at={of.expires_at} /> <span class="quiet"><Until at={of.expires_at} /></span></>]]} />
            <p><a href={statement} target="_blank" rel="noopener">Statement of reasons</a></p>
          </div>
        </div>
      </div>
    </section>
  )
}

const OUTCOMES: Record<Appeal['outcome'], [string, string]> = { open: ['badge', 'open'], granted: ['badge good', 'granted'], rejected: ['badge bad', 'turned down'], ended: ['badge', 'ended by itself'] }

function AppealList({ of }: { of: Appeal[] }) {
  if (of.length === 0) return <Empty title="You have not appealed"><p>An appeal is answered by a person, with a reason, by the time shown beside it.</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Your appeals, table">
      <table class="plain-table">
        <thead><tr><th scope="col">Sent</th><th scope="col">What you said</th><th scope="col">Outcome</th><th scope="col">Answer</th></tr></thead>
        <tbody>{[...of].reverse().map((appeal, at) => (
          <tr key={`${appeal.decision}${appeal.appealed_at}${at}`}>
            <td class="nowrap"><Time at={appeal.appealed_at} /></td><td class="prose">{appeal.text ?? '–'}</td>
            <td><span class={OUTCOMES[appeal.outcome][0]}>{OUTCOMES[appeal.outcome][1]}</span></td>
            <td class="prose">{appeal.outcome === 'open' ? appeal.due_at ? <>due <Until at={appeal.due_at} /></> : 'due soon' : appeal.answer ?? '–'}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  )
}

function Past({ of }: { of: Row[] }) {
  if (of.length === 0) return <Empty title="Nothing was decided of late" />
  return (
    <ul class="marks" tabIndex={0} aria-label="Decisions about you, newest first">
      {of.map(row => <li key={row.offset}><span class="nowrap dim"><Time at={row.at} /></span><ActionWord action={row.action} />{row.level && <LevelBadge level={row.level} />}<span class="clip mono" title={row.text || (row.scope && covers(row.scope as Scope))}>{row.scope?.listing ?? row.scope?.sku ?? row.scope?.region ?? 'all'}</span></li>)}
    </ul>
  )
}

function Now({ supplier }: { supplier: string }) {
  const path = `/v1/suppliers/${encodeURIComponent(supplier)}`
  const standing = useFetched(signal => get<Standing>(`${path}/standing`, { signal }).then(answer => answer.data), [supplier])
  const appeals = useFetched(signal => get<Appeals>(`${path}/appeals`, { signal }).then(answer => answer.data.appeals), [supplier])
  const [against, setAgainst] = useState<RestrictionFacts | null>(null)
  const [past, setPast] = useState<Row[]>([])
  const again = () => { standing.again(); appeals.again() }
  useMemo(forgetPlace, [])
  useDecisions(useCallback(rows => {
    if (rows.length === 0) return
    setPast(was => [...new Map([...rows, ...was].map(row => [row.offset, row])).values()].sort((a, b) => b.offset - a.offset).slice(0, 500))
    again()
  }, [supplier]))
  if (standing.error && !standing.data) return <Failed error={standing.error} again={again} />
  if (!standing.data) return <Loading lines={8} />
  const { level, in_force } = standing.data
  const open = appeals.data?.filter(appeal => appeal.outcome === 'open') ?? []
  const due = open.flatMap(appeal => appeal.due_at ?? []).sort()[0]
  return (
    <>
      <div class="strip" role="group" aria-label="Where you stand">
        <div class="figure"><span class="name">Standing</span><span class="value" data-testid="level">{level ? <LevelBadge level={level} /> : <span class="badge good">nothing in force</span>}</span><span class="note">{level ? 'the hardest in force' : 'your offers are shown as they are'}</span></div>
        <Figure name="In force" value={in_force.length} unit={in_force.length === 1 ? 'restriction' : 'restrictions'} />
        <Figure name="Appeals open" value={appeals.data ? open.length : null} note={due ? `next answer due ${duration(Math.max(0, Date.parse(due) - Date.now()))} from now` : ''} />
      </div>
      {in_force.length === 0
        ? <Panel title="In force"><Empty title="Nothing is in force against you"><p>Your offers are shown to buyers, and all that you have in stock can be reserved and ordered.</p></Empty></Panel>
        : [...in_force].sort((a, b) => LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level)).map(of => <InForce key={of.decision} supplier={supplier} of={of} appeals={appeals.data ?? []} onAppeal={() => setAgainst(of)} />)}
      {in_force.length > 0 && <p class="quiet below">How much would be enough to end early what a rule found is told to nobody, so that nobody trades just below it. Once the cause is gone, much of it ends before its time without a word from you.</p>}
      <div class="grid overview-bottom">
        <Panel title="Appeals" class="wide">{appeals.error && !appeals.data ? <Failed error={appeals.error} again={appeals.again} /> : appeals.data ? <AppealList of={appeals.data} /> : <Loading />}</Panel>
        <Panel title="Decisions about you" note="as they happen"><Past of={past} /></Panel>
      </div>
      {against && <AppealDialog supplier={supplier} of={against} onClose={() => setAgainst(null)} onDone={again} />}
    </>
  )
}
const LEVELS: Level[] = ['watch', 'limit', 'cap', 'dim', 'quarantine', 'lockout']

export default function StandingPage() {
  const supplier = session.value?.supplier ?? ''
  const about = useFetched(signal => get<Supplier>(`/v1/suppliers/${encodeURIComponent(supplier)}`, { signal }).then(answer => answer.data), [supplier])
  const asked = query.value.get('view')
  const view: View = asked === 'imports' || asked === 'listings' ? asked : 'standing'
  const profile = about.data?.profile
  return (
    <>
      <PageHead title="Your standing" note={profile ? <>{profile.name} <span class="mono">{supplier}</span>, {profile.region}</> : <span class="mono">{supplier}</span>}>
        <Segments label="View" value={view} options={[['standing', 'Standing'], ['imports', 'Imports'], ['listings', 'Listings']]} onChange={value => setQuery({ view: value === 'standing' ? null : value, after: null })} />
      </PageHead>
      {view === 'standing' && <Now supplier={supplier} />}
      {view === 'imports' && <Imports supplier={supplier} />}
      {view === 'listings' && <Listings supplier={supplier} />}
    </>
  )
}
