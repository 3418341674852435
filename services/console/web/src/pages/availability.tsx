// What buyers see of a good, as it changes, by region; and what a buyer holds of it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, findSession, get, session, sessionEnded } from '../api'
import type { Availability as Answer, AvailabilityOfGood, SeenOffer } from '../api-types'
import { count } from '../format'
import { useKeys } from '../keys'
import { SupplierLink } from '../links'
import { query, setQuery } from '../router'
import { isSeen } from '../seen'
import { FilterChip } from '../ui/field'
import { Figure } from '../ui/figure'
import { Empty, Failed, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { ReserveDialog, Reservations, useReservations } from './availability-reserve'
import { money } from './money'

interface Seen extends Pick<AvailabilityOfGood, 'offers' | 'more'>, Pick<Answer, 'as_of' | 'staleness_ms' | 'completeness'> {}
type Link = 'connecting' | 'live' | 'lost'

const FILTERS = ['sku', 'gtin', 'region', 'min_qty'] as const
const AGAIN_MS = 2_000

/** The question in the address, as the server takes it; empty while no good is named. */
function asked(): string {
  const of = query.value
  if (!of.get('sku') && !of.get('gtin')) return ''
  return FILTERS.flatMap(name => of.get(name) ? [`${name}=${encodeURIComponent(of.get(name)!)}`] : []).join('&')
}

const keyOf = (offer: SeenOffer) => `${offer.supplier}\n${offer.listing}`

/** What is there now and whenever it changes; `changed` are the offers that the last change came with. */
function useGood(question: string) {
  const [seen, setSeen] = useState<Seen | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const [link, setLink] = useState<Link>('connecting')
  const [changed, setChanged] = useState<Set<string>>(new Set())
  const [changes, setChanges] = useState(0)
  const [turn, setTurn] = useState(0)
  useEffect(() => { setSeen(null); setChanged(new Set()); setChanges(0) }, [question])
  const isLookedAt = isSeen.value
  const isOut = sessionEnded.value
  useEffect(() => {
    setError(null)
    if (!question || !isLookedAt || isOut) return
    setLink('connecting')
    let planned: ReturnType<typeof setTimeout> | undefined
    let last: Map<string, string> | null = null
    const source = new EventSource(`/v1/availability/stream?${question}&limit=200`)
    source.addEventListener('good', event => {
      const good = JSON.parse((event as MessageEvent<string>).data) as Seen
      const now = new Map(good.offers.map(offer => [keyOf(offer), JSON.stringify(offer)]))
      const before = last
      if (before) {
        setChanged(new Set([...now].filter(([key, text]) => before.get(key) !== text).map(([key]) => key)))
        setChanges(was => was + 1)
      }
      last = now
      setSeen(good)
      setError(null)
    })
    source.addEventListener('live', () => setLink('live'))
    source.onopen = () => setLink('live')
    source.onerror = () => {
      setLink('lost')
      if (source.readyState !== EventSource.CLOSED) return
      // A browser says nothing of a refusal; the same question without the stream does.
      get<Answer>(`/v1/availability?${question}&limit=1`).then(() => { planned = setTimeout(() => setTurn(was => was + 1), AGAIN_MS) }, (failed: ApiError) => {
        if (failed.status === 401) void findSession()
        else if (failed.status >= 400 && failed.status < 500 && failed.status !== 429) setError(failed)
        else planned = setTimeout(() => setTurn(was => was + 1), AGAIN_MS)
      })
    }
    return () => { source.close(); clearTimeout(planned) }
  }, [question, turn, isLookedAt, isOut])
  return { seen, error, link, changed, changes, again: () => setTurn(was => was + 1) }
}

interface InRegion { region: string; offers: number; units: number; least: Map<string, SeenOffer> }

function byRegion(offers: SeenOffer[]): InRegion[] {
  const regions = new Map<string, InRegion>()
  for (const offer of offers) {
    for (const region of offer.regions) {
      const of = regions.get(region) ?? { region, offers: 0, units: 0, least: new Map() }
      of.offers++
      of.units += offer.available
      const least = of.least.get(offer.price.currency)
      if (!least || offer.price.minor < least.price.minor) of.least.set(offer.price.currency, offer)
      regions.set(region, of)
    }
  }
  return [...regions.values()].sort((a, b) => b.units - a.units || (a.region < b.region ? -1 : 1))
}

/** Asked by a form, for half a name is another good. */
function Ask() {
  const of = query.value
  const inAddress = of.get('sku') ?? of.get('gtin') ?? ''
  const [good, setGood] = useState(inAddress)
  const [region, setRegion] = useState(of.get('region') ?? '')
  const [least, setLeast] = useState(of.get('min_qty') ?? '')
  const node = useRef<HTMLInputElement>(null)
  useEffect(() => { setGood(inAddress); setRegion(of.get('region') ?? ''); setLeast(of.get('min_qty') ?? '') }, [of])
  useKeys(useMemo(() => [{ keys: '/', label: 'Ask for a good', run: () => { node.current?.focus(); node.current?.select() } }], []))
  const ask = (event: Event) => {
    event.preventDefault()
    const name = good.trim()
    const isGtin = /^\d{8}$|^\d{12,14}$/.test(name)
    setQuery({ sku: isGtin ? null : name, gtin: isGtin ? name : null, region: region.trim().toUpperCase() || null, min_qty: least || null })
  }
  return (
    <form class="filters" role="search" onSubmit={ask}>
      <input ref={node} class="input grow" type="search" aria-label="SKU or GTIN" placeholder="SKU or GTIN" value={good} onInput={event => setGood(event.currentTarget.value)} />
      <input class="input short" aria-label="Region" placeholder="Region, as DE" value={region} onInput={event => setRegion(event.currentTarget.value)} />
      <input class="input short" type="number" min={1} aria-label="At least so many units" placeholder="Units, at least" value={least} onInput={event => setLeast(event.currentTarget.value)} />
      <button class="btn main" type="submit">Ask</button>
      <FilterChip name="region" label="Region" /><FilterChip name="min_qty" label="At least" />
    </form>
  )
}

export default function AvailabilityPage() {
  const question = asked()
  const { seen, error, link, changed, changes, again } = useGood(question)
  const isBuyer = session.value?.role === 'buyer'
  const held = useReservations(changes)
  const [reserving, setReserving] = useState<SeenOffer | null>(null)
  const offers = seen?.offers ?? []
  const regions = useMemo(() => byRegion(offers), [seen])
  const units = offers.reduce((sum, offer) => sum + offer.available, 0)
  const good = query.value.get('sku') ?? query.value.get('gtin')
  return (
    <>
      <PageHead title="Availability" note={question ? <span class={`fresh ${link === 'live' ? '' : link === 'lost' ? 'lost' : 'late'}`} role="status" data-link={link}><i aria-hidden="true" />{link === 'live' ? 'changes come as they happen' : link === 'lost' ? 'connection lost, coming back' : 'connecting'}</span> : undefined} />
      <Ask />
      {!question ? <Panel title="Offers"><Empty title="Ask for a good"><p>By the marketplace’s SKU or by its GTIN. What you ask stands in the address, so it can be shared and kept.</p></Empty></Panel>
        : error ? <Failed error={error} again={again} />
        : !seen ? <Loading lines={8} />
        : (
          <>
            {seen.completeness === 'partial' && <Notice kind="low">This replica has not read everything yet, so something may be missing.</Notice>}
            <div class="strip" role="group" aria-label="What is there">
              <Figure name="Units" value={units} note={good ?? ''} />
              <Figure name="Offers" value={offers.length} note={seen.more ? 'the first 200 of more' : ''} />
              <Figure name="Regions" value={regions.length} />
              <Figure name="Behind the clock" value={seen.staleness_ms} unit="ms" note="when it was answered" />
              <div class="figure"><span class="name">As of</span><span class="value"><Time at={seen.as_of} /></span><span class="note" data-testid="changes">{changes === 0 ? 'no change since' : `${count(changes)} ${changes === 1 ? 'change' : 'changes'} since you looked`}</span></div>
            </div>
            <div class="availability">
              <Panel title="Offers" note="cheapest first">
                {offers.length === 0 ? <Empty title={`Nothing of ${good} is available`}><p>{query.value.get('region') || query.value.get('min_qty') ? 'With fewer filters there may be more. ' : ''}It shows here as soon as there is something.</p></Empty> : (
                  <div class="scroll-x" tabIndex={0} role="region" aria-label="Offers, table">
                    <table class="plain-table">
                      <thead><tr><th scope="col">Supplier</th><th scope="col" class="not-narrow">Listing</th><th scope="col" class="num">Price</th><th scope="col" class="num">Available</th><th scope="col" class="num">Hand-over</th><th scope="col">Regions</th>{isBuyer && <th scope="col"><span class="hidden-visually">Reserve</span></th>}</tr></thead>
                      <tbody>{offers.map(offer => (
                        <tr key={keyOf(offer)} class={changed.has(keyOf(offer)) ? 'fresh-row' : undefined} data-offer={`${offer.supplier}/${offer.listing}`}>
                          <td><SupplierLink id={offer.supplier} /></td><td class="mono nowrap not-narrow">{offer.listing}</td><td class="num">{money(offer.price)}</td>
                          <td class="num">{count(offer.available)}</td><td class="num">{offer.lead_days === 0 ? 'same day' : `${count(offer.lead_days)} ${offer.lead_days === 1 ? 'day' : 'days'}`}</td><td>{offer.regions.join(' ')}</td>
                          {isBuyer && <td class="num stick"><button type="button" class="btn small" disabled={offer.available === 0} aria-label={`Reserve ${offer.listing} of ${offer.supplier}`} onClick={() => setReserving(offer)}>Reserve</button></td>}
                        </tr>
                      ))}</tbody>
                    </table>
                  </div>
                )}
              </Panel>
              <Panel title="By region" note="offers count in each">
                {regions.length === 0 ? <Empty title="No region is served" /> : (
                  <div class="scroll-x" tabIndex={0} role="region" aria-label="By region, table">
                    <table class="plain-table">
                      <thead><tr><th scope="col">Region</th><th scope="col" class="num">Offers</th><th scope="col" class="num">Units</th><th scope="col" class="num">From</th></tr></thead>
                      <tbody>{regions.map(of => (
                        <tr key={of.region}><td><button type="button" class="btn plain small" aria-label={`Only ${of.region}`} onClick={() => setQuery({ region: of.region })}>{of.region}</button></td><td class="num">{count(of.offers)}</td><td class="num">{count(of.units)}</td>
                          <td class="num">{[...of.least.values()].map(offer => <div key={offer.price.currency}>{money(offer.price)}</div>)}</td></tr>
                      ))}</tbody>
                    </table>
                  </div>
                )}
              </Panel>
            </div>
          </>
        )}
      <div class="below" />
      <Reservations of={held} isBuyer={isBuyer} />
      {reserving && <ReserveDialog offer={reserving} region={query.value.get('region')} onClose={() => setReserving(null)} onDone={held.again} />}
    </>
  )
}
