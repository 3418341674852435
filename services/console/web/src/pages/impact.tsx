// What hangs on a supplier, before somebody decides: its goods, where they go, whether anybody else offers them there, and what is reserved.
import { useCallback, useMemo, useState } from 'preact/hooks'
import { get, post } from '../api'
import type { AvailabilityOfGoods, DecisionTold, Impact as ImpactTold, Listing, PageOfListing, PageOfReservation, Reservation } from '../api-types'
import type { Target, Verb } from '../decide/act'
import { subjectOf } from '../decide/act'
import { DecideDialog } from '../decide/dialog'
import { covers } from '../decide/scope'
import { useFetched } from '../fetching'
import { count, number } from '../format'
import { explains, SupplierLink } from '../links'
import type { PageProps } from '../pages'
import { query } from '../router'
import { useDecisions, type Row } from '../stream'
import { SearchFilter } from '../ui/field'
import { Figure } from '../ui/figure'
import { Empty, Failed, LevelBadge, Loading, Notice, PageHead, Panel } from '../ui/states'

/** Goods asked about at once, as many as the API takes; and listings of which the tree is made. */
const GOODS_MAX = 100
const LISTINGS_MAX = 500
const OFFERS = 50

export const money = (minor: number, currency: string): string => {
  try {
    const of = new Intl.NumberFormat('en-GB', { style: 'currency', currency, currencyDisplay: 'code' })
    return of.format(minor / 10 ** (of.resolvedOptions().maximumFractionDigits ?? 2))
  } catch { return `${number(minor)} ${currency}` }
}

/** Listings until there are no more, or too many. */
export async function listingsOf(supplier: string, signal?: AbortSignal): Promise<{ items: Listing[]; isCut: boolean }> {
  const items: Listing[] = []
  let cursor: string | null = null
  do {
    const page: PageOfListing = (await get<PageOfListing>(`/v1/suppliers/${encodeURIComponent(supplier)}/listings`, { query: { limit: 100, cursor }, signal })).data
    items.push(...page.items)
    cursor = page.next
  } while (cursor && items.length < LISTINGS_MAX)
  return { items, isCut: !!cursor }
}

interface Others { offers: number; isMore: boolean }
interface Place { sku: string; region: string; listings: Listing[]; units: number; others?: Others; reserved: Reservation[] }

async function ask(supplier: string, signal: AbortSignal) {
  const path = `/v1/suppliers/${encodeURIComponent(supplier)}`
  const [impact, listings, reserved] = await Promise.all([
    get<ImpactTold>(`${path}/impact`, { signal }).then(of => of.data),
    listingsOf(supplier, signal),
    get<PageOfReservation>('/v1/reservations', { query: { supplier, limit: 500 }, signal }).then(of => of.data),
  ])
  const offered = listings.items.filter(of => !of.withdrawn)
  const skus = [...new Set(offered.map(of => of.sku))]
  const others = new Map<string, Map<string, Others>>()
  for (let at = 0; at < skus.length; at += GOODS_MAX) {
    const goods = skus.slice(at, at + GOODS_MAX).map(sku => ({ sku }))
    const { data } = await post<AvailabilityOfGoods>('/v1/availability:query', { goods, limit: OFFERS }, { signal })
    for (const [index, good] of data.results.entries()) {
      const byRegion = new Map<string, Others>()
      for (const offer of good.offers) {
        if (offer.supplier === supplier) continue
        for (const region of offer.regions) byRegion.set(region, { offers: (byRegion.get(region)?.offers ?? 0) + 1, isMore: good.more })
      }
      if (good.more) byRegion.set('', { offers: 0, isMore: true })
      others.set(goods[index]!.sku, byRegion)
    }
  }
  const places = new Map<string, Place>()
  for (const listing of offered) {
    for (const region of listing.regions) {
      const key = `${listing.sku} ${region}`
      const place = places.get(key) ?? { sku: listing.sku, region, listings: [], units: 0, reserved: [] }
      place.listings.push(listing)
      place.units += listing.available
      place.others = others.get(listing.sku)?.get(region) ?? others.get(listing.sku)?.get('') ?? { offers: 0, isMore: false }
      place.reserved = reserved.items.filter(of => place.listings.some(own => own.listing === of.listing))
      places.set(key, place)
    }
  }
  return { impact, listings: offered, isCut: listings.isCut, places: [...places.values()], reservations: reserved.items, moreReserved: !!reserved.next }
}

function OthersCell({ of }: { of?: Others }) {
  if (!of) return <span class="dim">–</span>
  if (of.offers === 0) return of.isMore ? <span class="dim" title="There are too many offers of it to look at each region">not among the first {OFFERS}</span> : <span class="badge bad">nobody else</span>
  return <>{count(of.offers)}{of.isMore ? ' or more' : ''}</>
}

function Reserved({ of }: { of: Reservation[] }) {
  const open = of.filter(one => one.state === 'held' || one.state === 'confirmed' || one.state === 'ordered')
  if (open.length === 0) return <span class="dim">none</span>
  const atRisk = open.filter(one => one.at_risk).length
  return <>{count(open.reduce((sum, one) => sum + one.quantity, 0))} in {count(open.length)}{atRisk > 0 && <> <span class="badge warn">{atRisk} at risk</span></>}</>
}

function Tree({ places }: { places: Place[] }) {
  const bySku = useMemo(() => {
    const found = new Map<string, Place[]>()
    for (const place of places) found.set(place.sku, [...(found.get(place.sku) ?? []), place])
    const missing = (of: Place[]) => of.filter(place => place.others?.offers === 0 && !place.others.isMore).length
    return [...found].sort((a, b) => missing(b[1]) - missing(a[1]) || b[1][0]!.units - a[1][0]!.units)
  }, [places])
  if (bySku.length === 0) return <Empty title="Nothing fits"><p>The supplier lists nothing that fits the search.</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Goods by region, table">
      <table class="plain-table impact-tree">
        <thead><tr><th scope="col">Good</th><th scope="col">Region</th><th scope="col" class="num">Units</th><th scope="col" class="num">Others offer</th><th scope="col" class="num">Reserved</th></tr></thead>
        {bySku.map(([sku, of]) => (
          <tbody key={sku}>{of.map((place, at) => (
            <tr key={place.region}>
              {at === 0 && <th scope="rowgroup" rowSpan={of.length} class="mono">{sku}</th>}
              <td>{place.region}</td><td class="num">{count(place.units)}</td><td class="num"><OthersCell of={place.others} /></td><td class="num"><Reserved of={place.reserved} /></td>
            </tr>
          ))}</tbody>
        ))}
      </table>
    </div>
  )
}

export default function Impact({ params }: PageProps) {
  const supplier = params.id!
  const decision = query.value.get('decision')
  const search = (query.value.get('q') ?? '').toLowerCase()
  const found = useFetched(signal => ask(supplier, signal), [supplier])
  const told = useFetched(signal => decision ? get<DecisionTold>(`/v1/decisions/${encodeURIComponent(decision)}`, { signal }).then(of => of.data) : Promise.resolve(undefined), [decision])
  const [deciding, setDeciding] = useState<{ verb: Verb; target: Target; units: number } | null>(null)
  const again = () => { found.again(); told.again() }
  useDecisions(useCallback((rows: Row[]) => { if (rows.some(row => row.supplier === supplier)) again() }, [supplier, decision]))
  if (found.isLoading || told.isLoading) return <><PageHead title="Impact" /><Loading lines={10} /></>
  if (!found.data) return <><PageHead title="Impact" /><Failed error={found.error!} again={found.again} /></>
  const { impact, places, reservations, listings } = found.data
  const of = told.data?.restriction
  const inForce = told.data?.in_force === true && !!of
  const covered = of ? listings.filter(listing => covers(of.scope, listing)) : listings
  const shown = places.filter(place => (!search || place.sku.toLowerCase().includes(search) || place.region.toLowerCase().includes(search)) && (!of || place.listings.some(listing => covers(of.scope, listing, place.region))))
  const alone = shown.filter(place => place.others?.offers === 0 && !place.others.isMore).length
  const units = covered.reduce((sum, listing) => sum + listing.available, 0)
  const value = new Map<string, number>()
  for (const listing of covered) value.set(listing.price.currency, (value.get(listing.price.currency) ?? 0) + listing.price.minor * listing.available)
  const open = reservations.filter(one => ['held', 'confirmed', 'ordered'].includes(one.state))
  const isWithheld = impact.withheld_already > 0
  const begin = (verb: Verb) => { if (of) setDeciding({ verb, target: { supplier, restriction: of }, units }) }
  return (
    <>
      <PageHead title="Impact" note={<SupplierLink id={supplier} />}>
        {inForce && <>
          <a class="btn" href={explains(of!.id)}>Explain</a>
          {!of!.confirmed && <button type="button" class="btn main" onClick={() => begin('confirm')}>Confirm</button>}
          <button type="button" class="btn danger" onClick={() => begin('release')}>Release</button>
        </>}
      </PageHead>
      {told.error && <Notice kind="low">{told.error.title}: {told.error.detail}</Notice>}
      {of && <Notice kind="info"><LevelBadge level={of.level} /> {subjectOf(of.scope)}{inForce ? (of.confirmed ? `, confirmed by ${of.confirmed.actor}` : ', not confirmed yet') : ', no longer in force'}. What is listed below is what it covers.</Notice>}
      {isWithheld && !of && <Notice kind="info">{impact.stock?.listings === 0 ? 'Buyers see nothing of this supplier: what is listed below is what it would offer.' : 'A part of this supplier is withheld: what is listed below is all that it offers, seen by buyers or not.'}</Notice>}
      <div class="strip" role="group" aria-label="What hangs on it">
        <Figure name="Listings" value={covered.length} note={found.data.isCut ? `the first ${LISTINGS_MAX}` : `of ${count(listings.length)}`} />
        <Figure name="Units" value={units} unit="units" />
        <div class="figure"><span class="name">Value</span><span class="value">{[...value].length === 0 ? '–' : [...value].map(([currency, minor]) => money(minor, currency)).join(' + ')}</span><span class="note">at its own prices</span></div>
        <Figure name="Left empty" value={alone} unit="places" note="no other offer there" />
        <Figure name="Reservations" value={open.length} note={`${count(open.filter(one => one.at_risk).length)} at risk`} />
        <Figure name="Buyers see now" value={impact.stock?.units} unit="units" note={impact.stock ? `${count(impact.stock.listings)} listings` : 'not known to this process'} />
      </div>
      <div class="filters"><SearchFilter label="Good or region" /></div>
      <Panel title="Goods, regions and reservations" note={`${count(shown.length)} places, those without another offer first`}><Tree places={shown} /></Panel>
      {found.data.moreReserved && <p class="quiet pad">Only the first 500 reservations are counted.</p>}
      {deciding && <DecideDialog {...deciding} onClose={() => setDeciding(null)} onDone={again} />}
    </>
  )
}
