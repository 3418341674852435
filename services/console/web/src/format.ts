// Numbers and times as people read them. Numbers are tabular, right-aligned by `.num`, and bear their unit.
const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 })
const fine = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1, minimumFractionDigits: 1 })
const finer = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 3 })

export const count = (value: number | null | undefined): string => value === null || value === undefined ? '–' : whole.format(value)

/** A figure with as many digits as say something. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return whole.format(value)
  return size >= 10 ? fine.format(value) : finer.format(value)
}

/** Short enough for an axis: 12k, 3.4M. */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${finer.format(value / 1e6)}M`
  if (size >= 1e4) return `${finer.format(value / 1e3)}k`
  return number(value)
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dayAndClock = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit' })
const dayOnly = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short' })
const date = (at: string | number) => new Date(at)

/** The time of day in the viewer's zone; with the day where that is not today. */
export function time(at: string | number): string {
  const of = date(at)
  return of.toDateString() === new Date().toDateString() ? clock.format(of) : dayAndClock.format(of)
}
export const timeOfDay = (at: string | number): string => clock.format(date(at))
export const day = (at: string | number): string => dayOnly.format(date(at))
/** The same moment in UTC, to the millisecond: what logs say. */
export const utc = (at: string | number): string => date(at).toISOString().replace('T', ' ').replace('Z', ' UTC')

export function duration(ms: number): string {
  if (ms < 1_000) return `${whole.format(ms)} ms`
  if (ms < 60_000) return `${finer.format(ms / 1_000)} s`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`
  if (ms < 48 * 3_600_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`
  return `${Math.floor(ms / 86_400_000)} d`
}

/** `over_budget` as "over budget", `PRICE_OUTLIER` as "price outlier". */
export const words = (name: string): string => name.replaceAll('_', ' ').toLowerCase()
