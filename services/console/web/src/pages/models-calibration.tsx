// What became of the orders that models had predicted: known weeks later, and by frauds that were confirmed.
import type { Calibration, CalibrationBin, CalibrationReading, Models } from '../api-types'
import { count, day, number } from '../format'
import { Empty, Facts, Notice } from '../ui/states'
import { Reliability, type Group, type Predicted } from '../ui/reliability'

const READING: Record<CalibrationReading, string> = { as_predicted: 'as predicted', more: 'more than predicted', fewer: 'fewer than predicted' }
const DAY_MS = 86_400_000

/** Groups with orders; what is null without any is there. */
const groupsOf = (bins: CalibrationBin[]): Group[] => bins.flatMap(({ from, until, orders, bad, predicted, seen, low, high, reading }) =>
  orders > 0 && reading ? [{ from, until, cases: orders, happened: bad, predicted: predicted ?? 0, seen: seen ?? 0, low: low ?? 0, high: high ?? 1, reading: READING[reading], isOff: reading !== 'as_predicted' }] : [])

/** The days of the orders, in UTC, of which `until` is the one after the last; noon is the same day for most viewers. */
const span = ({ from, until }: Calibration) => from && until ? `placed ${day(Date.parse(from) + DAY_MS / 2)} to ${day(Date.parse(until) - DAY_MS / 2)}` : ''

function saying(of: Calibration): string {
  if (of.orders === 0) return `none yet; ${count(of.waiting)} wait for their outcome`
  const off = groupsOf(of.bins).filter(group => group.isOff).length
  return `${count(of.orders)} orders ${span(of)}, ${count(of.bad)} went bad; ${of.expected_to_seen ? `${number(of.expected_to_seen)} predicted per bad one` : 'none to compare with'}${off > 0 ? `; ${off} of ${groupsOf(of.bins).length} groups are off` : ''}`
}

/** When orders are counted, for who sees none yet. */
function Waiting({ of }: { of: Calibration[] }) {
  const waiting = Math.max(...of.map(one => one.waiting))
  const next = of.flatMap(one => one.next_at ?? []).sort()[0]
  return (
    <Empty title="No order has shown its outcome yet">
      <p>An order counts once it is {of[0]!.known_after_days} days old, for frauds are confirmed that late. {waiting > 0 && next ? `${count(waiting)} predicted orders wait; the first are counted on ${day(next)}.` : 'None was predicted so far: models predict orders as they are placed.'}</p>
    </Empty>
  )
}

export function LiveCalibration({ models }: { models: Models }) {
  const places = ([['Champion', models.champion, '--c1'], ['Challenger', models.challenger, '--c2']] as const).flatMap(([name, model, color]) => model ? [{ name, color, of: model.calibration }] : [])
  const known = places.flatMap(place => place.of ? [{ ...place, of: place.of }] : [])
  if (known.length === 0) return <Empty title="Not known here"><p>Scoring runs in another process; ask that one.</p></Empty>
  if (known.every(({ of }) => of.orders === 0)) return <Waiting of={known.map(({ of }) => of)} />
  const shown: Predicted[] = known.map(({ name, color, of }) => ({ name, color, groups: groupsOf(of.bins) }))
  const oneIn = Math.max(...known.map(({ of }) => of.one_in))
  return (
    <>
      <div class="body"><Facts of={known.map(({ name, of }) => [name, saying(of)] as [string, string])} /></div>
      {oneIn > 1 && <Notice>Of so many orders one in {count(oneIn)} is counted, chosen by its name alone.</Notice>}
      <Reliability title="Calibration on orders" of={shown} what={{ cases: 'Orders', happened: 'Went bad' }} />
      <p class="quiet pad">An order went bad when a fraud on it was confirmed, whoever’s fault; it counts once it is {known[0]!.of.known_after_days} days old. Lines are 95 % intervals (Wilson), as if orders were independent. Orders that nobody could place, because a supplier was withheld, are not among them.</p>
    </>
  )
}
