// A supplier: what is in force, what the evidence is and who vouches for it, what it lists, whom it is linked to, what was decided.
import { useCallback, useMemo, useState } from 'preact/hooks'
import { ApiError, get } from '../api'
import type { Appeals, Decision, Decisions, Impact, Listing, Restriction, ReviewKind, Reviews, Risk, Supplier as SupplierTold } from '../api-types'
import { subjectOf, type Verb } from '../decide/act'
import { DecideDialog, nameOf } from '../decide/dialog'
import { useFeatures } from '../decide/features'
import { Origin } from '../decide/parts'
import { byHardness, EFFECT, hardest } from '../decide/scope'
import { useFetched } from '../fetching'
import { count, number, words } from '../format'
import { useKeys } from '../keys'
import { explains } from '../links'
import { linkTo, type PageProps } from '../pages'
import { query, setQuery } from '../router'
import { useDecisions, type Row } from '../stream'
import { SearchFilter, SelectFilter } from '../ui/field'
import { Figure } from '../ui/figure'
import { ActionWord, Empty, Failed, LevelBadge, Loading, NO_PATH, Notice, PageHead, Panel, Segments, Time } from '../ui/states'
import { VirtualTable, type Column } from '../ui/virtual-table'
import { listingsOf, money } from './impact'
import { EvidenceTime } from './supplier-evidence-time'
import { Claims, Contributions, Evidence, Links, Windows } from './supplier-evidence'

type View = 'evidence' | 'listings' | 'decisions'

interface Found { /** Known where inventory runs. */ profile?: SupplierTold['profile']; risk?: Risk; decisions: Decision[]; isMore: boolean; appeals: Appeals['appeals']; reviews: Reviews['reviews']; impact: Impact }

/** With roles apart, another process knows what a supplier is called; all that is decided about it is here. */
const isElsewhere = (error: unknown) => { if (error instanceof ApiError && error.code === NO_PATH) return undefined; throw error }

async function ask(id: string, signal: AbortSignal): Promise<Found> {
  const path = `/v1/suppliers/${encodeURIComponent(id)}`
  const data = <T,>(of: string, query?: Record<string, string | number>) => get<T>(of, { signal, query }).then(told => told.data)
  const [profile, risk, decisions, appeals, reviews, impact] = await Promise.all([
    data<SupplierTold>(path).then(told => told.profile).catch(isElsewhere),
    data<Risk>(`${path}/risk`).catch((error: unknown) => { if (error instanceof ApiError && error.code === 'no_score') return undefined; throw error }),
    data<Decisions>('/v1/decisions', { supplier: id, limit: 500 }),
    data<Appeals>(`${path}/appeals`),
    data<Reviews>('/v1/reviews', { supplier: id, limit: 50 }),
    data<Impact>(`${path}/impact`),
  ])
  return { profile, risk, decisions: decisions.decisions, isMore: decisions.next !== null, appeals: appeals.appeals, reviews: reviews.reviews, impact }
}

function InForce({ of, onDecide }: { of: Restriction[]; onDecide: (verb: Verb, restriction: Restriction) => void }) {
  if (of.length === 0) return <Empty title="Nothing is in force"><p>Buyers see all that it lists.</p></Empty>
  return (
    <ul class="held">
      {of.map(one => (
        <li key={one.id}>
          <div class="what"><LevelBadge level={one.level} /><strong>{subjectOf(one.scope)}</strong><span class="quiet">{EFFECT[one.level]}</span></div>
          <div class="quiet">{one.reasons.map(words).join(', ')} · <Origin of={one} /> · since <Time at={one.since} /> · ends <Time at={one.expires_at} />{one.confirmed && <> · confirmed by {one.confirmed.actor}</>}</div>
          <div class="acts">
            <a class="btn small" href={explains(one.id)}>Explain</a>
            {!one.confirmed && <button type="button" class="btn small" onClick={() => onDecide('confirm', one)}>{nameOf('confirm', { supplier: '' })}</button>}
            <button type="button" class="btn small" onClick={() => onDecide('extend', one)}>Extend</button>
            <button type="button" class="btn small danger" onClick={() => onDecide('release', one)}>Release</button>
          </div>
        </li>
      ))}
    </ul>
  )
}

const WAITS: Record<ReviewKind, string> = { appeal: 'An appeal', excess: 'A restriction that a budget held back', decision: 'A decision', watch: 'A supplier to be watched' }
const WITHHELD = new Set(['quarantine', 'lockout'])

function Listings({ id, held }: { id: string; held: Restriction[] }) {
  const found = useFetched(signal => listingsOf(id, signal), [id])
  const search = (query.value.get('q') ?? '').toLowerCase()
  const state = query.value.get('state') ?? ''
  const rows = useMemo(() => (found.data?.items ?? []).map(listing => ({ listing, by: hardest(held, listing) })).filter(({ listing, by }) => {
    if (search && ![listing.listing, listing.sku, listing.gtin ?? '', ...listing.regions].some(part => part.toLowerCase().includes(search))) return false
    if (state === 'withheld') return !!by && WITHHELD.has(by.level)
    if (state === 'capped') return by?.level === 'cap' || by?.level === 'dim'
    if (state === 'withdrawn') return listing.withdrawn
    return true
  }), [found.data, held, search, state])
  const columns = useMemo((): Array<Column<{ listing: Listing; by?: Restriction }>> => [
    { name: 'listing', head: 'Listing', width: 'minmax(96px, 1.2fr)', cell: ({ listing }) => <span class="mono">{listing.listing}</span> },
    { name: 'sku', head: 'Good', width: 'minmax(90px, 1fr)', from: 560, cell: ({ listing }) => <span class="mono">{listing.sku}</span> },
    { name: 'regions', head: 'Regions', width: 'minmax(60px, .7fr)', from: 700, cell: ({ listing }) => listing.regions.join(', ') },
    { name: 'price', head: 'Price', width: '104px', isNumber: true, from: 460, cell: ({ listing }) => money(listing.price.minor, listing.price.currency) },
    { name: 'units', head: 'Available', width: '86px', isNumber: true, cell: ({ listing }) => count(listing.available) },
    { name: 'state', head: 'Buyers', width: 'minmax(92px, .9fr)', cell: ({ listing, by }) => listing.withdrawn ? <span class="dim">withdrawn</span> : by ? <span title={EFFECT[by.level]}><LevelBadge level={by.level} /></span> : 'see it' },
    { name: 'at', head: 'Changed', width: '110px', from: 820, cell: ({ listing }) => <Time at={listing.updated_at} /> },
  ], [])
  if (found.isLoading) return <Loading lines={8} />
  if (!found.data) return <Failed error={found.error!} again={found.again} />
  return (
    <>
      <div class="filters"><SearchFilter label="Listing, good or region" /><SelectFilter name="state" label="State" options={[['withheld', 'withheld'], ['capped', 'capped or dimmed'], ['withdrawn', 'withdrawn']]} /><span class="quiet">{count(rows.length)} of {count(found.data.items.length)}{found.data.isCut ? ', the first that the server lists' : ''}</span></div>
      <div class="supplier-listings"><VirtualTable label="Listings" columns={columns} length={rows.length} item={row => rows[row]!} id={row => row.listing.listing}
        empty={<Empty title={found.data.items.length === 0 ? 'It lists nothing' : 'Nothing fits these filters'} />} /></div>
    </>
  )
}

function Story({ of, isMore }: { of: Decision[]; isMore: boolean }) {
  if (of.length === 0) return <Empty title="Nothing was ever decided about it" />
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Decisions, table">
      <table class="plain-table">
        <thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Level</th><th scope="col">Covers</th><th scope="col">Rule or person</th><th scope="col">Note</th></tr></thead>
        <tbody>{of.map(one => (
          <tr key={one.version}>
            <td class="nowrap">{one.restriction ? <a href={explains(one.restriction.id)}><Time at={one.at} /></a> : <Time at={one.at} />}</td>
            <td><ActionWord action={one.action} /></td>
            <td>{one.restriction && <LevelBadge level={one.restriction.level} />}</td>
            <td class="nowrap">{one.restriction ? subjectOf(one.restriction.scope) : '–'}</td>
            <td class="nowrap">{one.actor ?? (one.restriction ? <Origin of={one.restriction} /> : '–')}</td>
            <td class="said">{one.note}</td>
          </tr>
        ))}</tbody>
      </table>
      {isMore && <p class="quiet pad">The last {count(of.length)}; the audit log has all.</p>}
    </div>
  )
}

function AppealList({ of }: { of: Appeals['appeals'] }) {
  if (of.length === 0) return <Empty title="It has not appealed" />
  return (
    <ul class="held">
      {of.map((one, at) => (
        <li key={at}>
          <div class="what"><span class={`badge ${one.outcome === 'open' ? 'warn' : one.outcome === 'granted' ? 'good' : ''}`}>{one.outcome}</span><span class="quiet"><Time at={one.appealed_at} />{one.due_at && <>, to be answered by <Time at={one.due_at} /></>}</span>{one.decision && <a href={explains(one.decision)} class="mono">{one.decision}</a>}</div>
          {one.text && <p class="said">{one.text}</p>}
          {one.answer && <p class="quiet">Answer: {one.answer}</p>}
        </li>
      ))}
    </ul>
  )
}

export default function Supplier({ params }: PageProps) {
  const id = params.id!
  const asked = query.value.get('view')
  const view: View = asked === 'listings' || asked === 'decisions' ? asked : 'evidence'
  const features = useFeatures()
  const found = useFetched(signal => ask(id, signal), [id])
  const [deciding, setDeciding] = useState<{ verb: Verb; restriction: Restriction } | null>(null)
  useDecisions(useCallback((rows: Row[]) => { if (rows.some(row => row.supplier === id)) found.again() }, [id]))
  const held = found.data?.decisions[0]?.in_force ?? []
  const hard = [...held].sort(byHardness)[0]
  useKeys(useMemo(() => hard ? [
    { keys: 'r', label: 'Release the hardest in force', run: () => setDeciding({ verb: 'release', restriction: hard }) },
    { keys: 'c', label: 'Confirm the hardest in force', run: () => setDeciding({ verb: 'confirm', restriction: hard }) },
  ] : [], [hard?.id]))
  if (found.isLoading) return <><PageHead title="Supplier" note={<code>{id}</code>} /><Loading lines={12} /></>
  if (!found.data) return <><PageHead title="Supplier" note={<code>{id}</code>} /><Failed error={found.error!} again={found.again} /></>
  const { profile, risk, decisions, appeals, reviews, impact } = found.data
  const seen = risk?.features ?? {}
  return (
    <>
      <PageHead title={profile?.name ?? id} note={profile && <><code>{profile.supplier}</code> · {profile.region} · {profile.class}</>}>
        <a class="btn" href={linkTo(undefined, 'impact', { id })}>Impact</a>
        <button type="button" class="btn" onClick={found.again}>Ask anew</button>
      </PageHead>
      {found.error && <Notice kind="low">{found.error.title}: {found.error.detail}</Notice>}
      {reviews.map(review => <Notice key={review.id} kind={review.kind === 'appeal' ? 'high' : 'info'} action={<a class="btn small" href={linkTo(undefined, 'review', {}, { item: review.id })}>Review it</a>}>{WAITS[review.kind]} waits for a person{review.claim ? `; ${review.claim.actor} is at it` : ''}.</Notice>)}
      <div class="strip" role="group" aria-label="The supplier now">
        <Figure name="Score" value={risk?.score} unit="of 1,000" note={risk ? `${number(Math.round(risk.confidence * 100))} % of it is known` : 'no event yet'} />
        <Figure name="In force" value={held.length} note={held.length > 0 ? [...new Set(held.map(of => of.level))].join(', ') : 'nothing'} />
        <Figure name="Buyers see" value={impact.stock?.units} unit="units" note={impact.stock ? `${count(impact.stock.listings)} listings` : undefined} />
        <Figure name="Orders" value={seen['orders.count_30d']} note="in 30 days" />
        <Figure name="Hand-overs" value={seen['shipped.count_30d']} note="in 30 days" />
        <Figure name="On the market" value={seen['supplier.age_days'] === undefined || seen['supplier.age_days'] === null ? null : Math.floor(seen['supplier.age_days'])} unit="days" />
      </div>
      <Panel title="In force"><InForce of={held} onDecide={(verb, restriction) => setDeciding({ verb, restriction })} /></Panel>
      <div class="views"><Segments label="Show" value={view} options={[['evidence', 'Evidence'], ['listings', 'Listings'], ['decisions', 'Decisions']]} onChange={value => setQuery({ view: value === 'evidence' ? null : value })} /></div>
      {view === 'evidence' && (risk ? <>
        <EvidenceTime id={id} features={features} decisions={decisions} />
        <div class="two even">
          <div class="stack"><Evidence risk={risk} features={features} /><Links risk={risk} /></div>
          <div class="stack"><Claims risk={risk} features={features} /><Contributions risk={risk} features={features} /><Windows risk={risk} features={features} /></div>
        </div>
      </> : <Empty title="Nothing is known of it yet"><p>Its evidence appears with its first submission or order.</p></Empty>)}
      {view === 'listings' && <Listings id={id} held={held} />}
      {view === 'decisions' && <div class="stack"><Panel title="Decisions" note="newest first"><Story of={decisions} isMore={found.data.isMore} /></Panel><Panel title="Appeals"><AppealList of={appeals} /></Panel></div>}
      {deciding && <DecideDialog verb={deciding.verb} target={{ supplier: id, restriction: deciding.restriction }} onClose={() => setDeciding(null)} onDone={found.again} />}
    </>
  )
}
