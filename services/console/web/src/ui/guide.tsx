// What a demo leads newcomers through: five things to do, each a link. Elsewhere the server tells of no guide and nothing shows.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { get, session } from '../api'
import type { Decision, Decisions, PageOfListing } from '../api-types'
import { remembered } from '../fetching'
import { linkTo } from '../pages'
import { useChannel } from '../stream'

/** What the demo says: the attacker that one may be, the link that signs in as it, and a file that it may send. */
interface Told { supplier: string; link: string; file: string }
/** A lock-out to look at, and a good that it took from buyers. */
interface Found { id: string; supplier: string; sku?: string }

const isClosed = remembered<'no' | 'yes'>('guide-closed', 'no')
const LOOK_MS = 2_000

/** The last supplier that a rule withheld and that still is. */
function withheld(decisions: Decision[]): Decision | undefined {
  const seen = new Set<string>()
  return decisions.find(of => {
    if (seen.has(of.supplier)) return false
    seen.add(of.supplier)
    return of.restriction?.rule && of.in_force.some(held => held.id === of.restriction!.id && (held.level === 'quarantine' || held.level === 'lockout'))
  })
}

function useFound(): Found | null {
  const [found, setFound] = useState<Found | null>(null)
  useEffect(() => {
    if (found) return
    let planned: ReturnType<typeof setTimeout>
    const look = async () => {
      try {
        const of = withheld((await get<Decisions>('/v1/decisions', { query: { limit: 200 } })).data.decisions)
        if (of) {
          const { data } = await get<PageOfListing>(`/v1/suppliers/${encodeURIComponent(of.supplier)}/listings`, { query: { limit: 50 } })
          const listing = data.items.find(item => !item.withdrawn && item.on_hand > 0)
          setFound({ id: of.restriction!.id, supplier: of.supplier, sku: listing?.sku })
          return
        }
      } catch { /* The page itself says what is wrong. */ }
      planned = setTimeout(() => void look(), LOOK_MS)
    }
    void look()
    return () => clearTimeout(planned)
  }, [found])
  return found
}

function Strip({ told }: { told: Told }) {
  const found = useFound()
  const role = session.value?.role
  const file = useMemo(() => URL.createObjectURL(new Blob([told.file], { type: 'text/csv' })), [told.file])
  const to = (name: string, params: Record<string, string> = {}, of?: Record<string, string>) => linkTo(role, name, params, of)
  const live = to('live', {}, found ? { supplier: found.supplier } : undefined)
  const explain = found && (to('explain', { id: found.id }) ?? live)
  const release = found && (to('supplier', { id: found.supplier }) ?? explain)
  return (
    <nav class="guide" aria-label="Five things to do">
      <ol>
        <li><a href={to('live')}>Watch a lock-out</a></li>
        <li>{explain ? <a href={explain}>Open its explanation</a> : <span class="dim">Open its explanation: the attacks begin in a moment</span>}</li>
        <li>{release ? <><a href={release}>Release it</a>{found?.sku && <> and <a href={to('availability', {}, { sku: found.sku })}>see the offers come back</a></>}</> : <span class="dim">Release it and see the offers come back</span>}</li>
        <li><a href={to('rules-edit') ?? to('rules') ?? to('overview')}>Change a threshold</a>{to('backtest') && <> and <a href={to('backtest')}>see its backtest</a></>}</li>
        <li><a href={file} download="attack.csv">Save an attack</a> and <a href={told.link} target="_blank" rel="noopener">send it as a supplier</a> <span class="dim">(works once; in a private window you stay signed in here)</span></li>
      </ol>
      <button type="button" class="btn plain small" aria-label="Close the guide" onClick={() => { isClosed.value = 'yes' }}>✕</button>
    </nav>
  )
}

export function Guide() {
  const told = useChannel<Told>('guide').value
  return told && isClosed.value === 'no' ? <Strip told={told} /> : null
}
