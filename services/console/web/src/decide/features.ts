// What features mean, and their values in words and units. What is said of them comes from the server, asked for once.
import { useEffect, useState } from 'preact/hooks'
import { get } from '../api'
import type { Feature, Features, Take } from '../api-types'
import { number } from '../format'

let asked: Promise<Map<string, Feature>> | undefined

/** The features by name; empty until they are there, and where they could not be asked for: names then stand for themselves. */
export function useFeatures(): Map<string, Feature> {
  const [known, setKnown] = useState<Map<string, Feature>>(new Map())
  useEffect(() => {
    asked ??= get<Features>('/v1/features').then(({ data }) => new Map(data.features.map(of => [of.name, of])))
    asked.then(setKnown, () => { asked = undefined })
  }, [])
  return known
}

const TAKE: Record<Take, string> = { count: 'count', buyers: 'distinct buyers or listings', sum: 'sum', mean: 'mean', rate: 'share', rate_low: 'share, Wilson lower bound' }
/** Declarations are read from above to below, and some lines speak of the one before. */
const REFERS = /\b(that rate|that count|the same count|behind them|cancelled on|such prices)\b/

/** `7 d`, `24 h`. */
export const windowName = (ms: number): string => ms <= 86_400_000 ? `${ms / 3_600_000} h` : `${ms / 86_400_000} d`

/** What a feature measures, in words that stand alone. */
export function meaningOf(feature: Feature | undefined, name: string): string {
  if (!feature) return name
  if (!feature.window || !REFERS.test(feature.meaning)) return feature.meaning
  const { measure, take, window_ms } = feature.window
  return `${measure.replaceAll('_', ' ')} in ${windowName(window_ms)}: ${TAKE[take]}`
}

/** 1,000 as "1,000", 3.2e6 as "3.2 million". */
function large(value: number): string {
  for (const [size, name] of [[1e12, 'trillion'], [1e9, 'billion'], [1e6, 'million']] as const) {
    if (value >= size) return value >= size * 1_000 ? `more than a thousand ${name}` : `${number(value / size)} ${name}`
  }
  return number(Math.round(value))
}

const DAYS_A_YEAR = 365.25

/** Odds of a test, in powers of ten, as a person would say them: chance passes 10^x at most once in 10^x supplier-days (ARCHITECTURE.md). */
export function oddsInWords(power: number): string {
  if (power <= 0) return 'nothing that stands out from chance yet'
  const days = 10 ** power
  const [span, unit] = days < DAYS_A_YEAR ? [days, 'supplier-days'] : [days / DAYS_A_YEAR, 'supplier-years']
  return `chance alone brings as much at most once in ${large(span)} ${unit}`
}

/** An e-value, in powers of ten: of honest suppliers at most one in 10^x has as much against it. */
export function eValueInWords(power: number): string {
  return power < 0.3 ? 'nothing that stands out' : `at most 1 honest supplier in ${large(10 ** power)} has as much against it`
}

/** A value with its unit: shares as per cent, everything else as it was counted. */
export function inUnits(feature: Feature | undefined, value: number | null | undefined): string {
  if (value === null || value === undefined) return 'unknown'
  const unit = feature?.unit ?? ''
  if (unit === 'powers of ten') return `10^${number(value)}`
  if (unit === 'ratio') return feature?.bounds && feature.bounds.high <= 1 ? `${number(value * 100)} %` : `${number(value)} ×`
  if (unit === 'hours') return `${number(value)} h`
  if (unit === 'days') return `${number(value)} d`
  return unit === 'count' || unit === '' || unit === 'links' ? number(value) : `${number(value)} ${unit}`
}

/** Who vouches for what a feature counts. */
export function whoVouches(feature: Feature | undefined): 'attested' | 'claimed' | 'seen here' {
  return feature?.attested ? 'attested' : feature?.claims ? 'claimed' : 'seen here'
}

/** What each of those words means. */
export const VOUCHED: Record<string, string> = {
  attested: 'somebody beside the buyer attests it: the carrier, the order system or the supplier itself',
  witnessed: 'what Stockade or its partners saw themselves',
  claimed: 'what buyers say; nobody else attests it',
  'seen here': 'counted from what was submitted or ordered here',
}
