// Holding units of an offer, and what is held: confirmed or given back before it lapses.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, del, get, post } from '../api'
import type { PageOfReservation, Reservation, ReservationState, SeenOffer } from '../api-types'
import { useFetched, type Fetched } from '../fetching'
import { count } from '../format'
import { SupplierLink } from '../links'
import { Dialog } from '../ui/dialog'
import { SelectField, TextField } from '../ui/field'
import { Empty, Failed, Loading, Panel } from '../ui/states'
import { toast, toastError } from '../ui/toast'
import { money } from './money'
import { Until } from './until'

/** Reservations lapse, and orders take from them, without a word to this page: so it asks now and then. */
const LOOK_MS = 5_000

/** What is held; asked for again when what is seen changes. */
export function useReservations(changes: number): Fetched<Reservation[]> {
  const held = useFetched(signal => get<PageOfReservation>('/v1/reservations', { query: { limit: 50 }, signal }).then(of => of.data.items), [], [changes])
  const isHolding = held.data?.some(of => of.state === 'held') ?? false
  useEffect(() => {
    if (!isHolding) return
    const looks = setInterval(held.again, LOOK_MS)
    return () => clearInterval(looks)
  }, [isHolding])
  return held
}

export function ReserveDialog({ offer, region, onClose, onDone }: { offer: SeenOffer; region: string | null; onClose: () => void; onDone: () => void }) {
  const [quantity, setQuantity] = useState('1')
  const [seconds, setSeconds] = useState('900')
  const [to, setTo] = useState(region && offer.regions.includes(region) ? region : '')
  const [error, setError] = useState<ApiError | null>(null)
  const [isSending, setSending] = useState(false)
  // A name of this dialog: a second click, or a lost answer, reserves nothing more.
  const [key] = useState(() => crypto.randomUUID())
  const reserve = async () => {
    setSending(true)
    setError(null)
    try {
      await post<Reservation>('/v1/reservations', { supplier: offer.supplier, listing: offer.listing, quantity: Number(quantity), seconds: Number(seconds), region: to || null }, { idempotencyKey: `${key}-${quantity}-${seconds}-${to}` })
      toast(`${count(Number(quantity))} of ${offer.listing} are held for you.`)
      onDone()
      onClose()
    } catch (failed) {
      setError(failed as ApiError)
      setSending(false)
    }
  }
  const named = error && ['quantity', 'seconds', 'region'].some(name => error.field(name))
  return (
    <Dialog title="Reserve" onClose={onClose} footer={<button type="button" class="btn main" disabled={isSending || !(Number(quantity) > 0)} onClick={() => void reserve()}>Reserve</button>}>
      <p><span class="mono">{offer.sku}</span> of <span class="mono">{offer.supplier}</span>, listing <span class="mono">{offer.listing}</span>, {money(offer.price)} each, {count(offer.available)} available</p>
      <TextField name="quantity" label="Units" type="number" required value={quantity} onInput={setQuantity} error={error?.field('quantity')} />
      <SelectField name="region" label="To" value={to} options={[['', 'anywhere that the listing serves'], ...offer.regions.map(of => [of, of] as [string, string])]} onChange={setTo} error={error?.field('region')} />
      <SelectField name="seconds" label="Held for" value={seconds} options={[['60', '1 minute'], ['900', '15 minutes'], ['3600', '1 hour']]} onChange={setSeconds} error={error?.field('seconds')} />
      {error && !named && <p role="alert"><strong>{error.title}.</strong> {error.detail} <span class="quiet">Code <code>{error.code}</code></span></p>}
    </Dialog>
  )
}

const STATES: Record<ReservationState, string> = { held: 'badge', confirmed: 'badge good', ordered: 'badge good', cancelled: 'badge', released: 'badge', lapsed: 'badge warn' }

function One({ of, isBuyer, again }: { of: Reservation; isBuyer: boolean; again: () => void }) {
  const path = `/v1/reservations/${encodeURIComponent(of.reservation)}`
  const [isBusy, setBusy] = useState(false)
  const act = (call: Promise<unknown>, said: string) => {
    setBusy(true)
    call.then(() => toast(said), toastError).finally(() => { setBusy(false); again() })
  }
  return (
    <tr data-reservation={of.reservation}>
      <td class="nowrap"><SupplierLink id={of.supplier} /></td><td class="mono nowrap">{of.listing}</td><td class="num">{count(of.quantity)}</td>
      <td class="nowrap"><span class={STATES[of.state]}>{of.state}</span>{of.at_risk && <> <span class="badge bad">at risk</span></>}{of.order && <span class="quiet"> order <span class="mono">{of.order}</span></span>}</td>
      <td class="nowrap">{of.state === 'held' && of.expires_at ? <>lapses <Until at={of.expires_at} /></> : <span class="dim">–</span>}</td>
      {isBuyer && <td><span class="row">
        {of.state === 'held' && <button type="button" class="btn small main" disabled={isBusy} onClick={() => act(post(`${path}:confirm`), 'Confirmed: it stays yours.')}>Confirm</button>}
        {(of.state === 'held' || of.state === 'confirmed') && <button type="button" class="btn small" disabled={isBusy} onClick={() => act(del(path), 'Given back.')}>Give back</button>}
      </span></td>}
    </tr>
  )
}

export function Reservations({ of, isBuyer }: { of: Fetched<Reservation[]>; isBuyer: boolean }) {
  return (
    <Panel title={isBuyer ? 'What you hold' : 'What buyers hold'} note="those that ended within a day included">
      {of.error && !of.data ? <Failed error={of.error} again={of.again} /> : !of.data ? <Loading /> : of.data.length === 0 ? <Empty title="Nothing is held">{isBuyer && <p>Reserve units of an offer above; they are yours until they lapse or you confirm them.</p>}</Empty> : (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Reservations, table">
          <table class="plain-table">
            <thead><tr><th scope="col">Supplier</th><th scope="col">Listing</th><th scope="col" class="num">Units</th><th scope="col">State</th><th scope="col">Until</th>{isBuyer && <th scope="col"><span class="hidden-visually">Actions</span></th>}</tr></thead>
            <tbody>{of.data.map(one => <One key={one.reservation} of={one} isBuyer={isBuyer} again={of.again} />)}</tbody>
          </table>
        </div>
      )}
    </Panel>
  )
}
