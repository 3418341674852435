// A supplier's listings, a page at a time: what lies there and how much of it buyers may still take.
import { get } from '../api'
import type { PageOfListing } from '../api-types'
import { useFetched } from '../fetching'
import { count } from '../format'
import { query, setQuery } from '../router'
import { Empty, Failed, Loading, Panel, Time } from '../ui/states'
import { money } from './money'

export function Listings({ supplier }: { supplier: string }) {
  const after = query.value.get('after')
  const page = useFetched(signal => get<PageOfListing>(`/v1/suppliers/${encodeURIComponent(supplier)}/listings`, { query: { limit: 50, cursor: after }, signal }).then(of => of.data), [supplier, after])
  if (page.error && !page.data) return <Failed error={page.error} again={page.again} />
  if (!page.data) return <Loading lines={12} />
  const { items, next } = page.data
  return (
    <Panel title="Listings" note="as you sent them; what is reserved or capped is not available" action={next || after ? <span class="row">
      {after && <button type="button" class="btn small" onClick={() => setQuery({ after: null })}>First page</button>}
      {next && <button type="button" class="btn small" onClick={() => setQuery({ after: next })}>Next page</button>}</span> : undefined}>
      {items.length === 0 ? <Empty title="You have no listings"><p>Send an inventory file under <a href="?view=imports" onClick={event => { event.preventDefault(); setQuery({ view: 'imports' }) }}>Imports</a>, or put listings by the API.</p></Empty> : (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Listings, table">
          <table class="plain-table">
            <thead><tr><th scope="col">Listing</th><th scope="col">SKU</th><th scope="col" class="num">On hand</th><th scope="col" class="num">Available</th><th scope="col" class="num">Price</th><th scope="col">Regions</th><th scope="col">Changed</th></tr></thead>
            <tbody>{items.map(of => (
              <tr key={of.listing}>
                <td class="mono nowrap">{of.listing} {of.withdrawn && <span class="badge">withdrawn</span>}</td><td class="mono nowrap">{of.sku}</td>
                <td class="num">{count(of.on_hand)}</td><td class="num">{of.available < of.on_hand && !of.withdrawn ? <strong>{count(of.available)}</strong> : count(of.available)}</td>
                <td class="num">{money(of.price)}</td><td class="nowrap">{of.regions.join(' ')}</td><td class="nowrap dim"><Time at={of.updated_at} /></td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
    </Panel>
  )
}
