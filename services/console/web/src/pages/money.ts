// Amounts as people write them: the currency knows its decimals.
import type { Money } from '../api-types'

const known = new Map<string, Intl.NumberFormat>()

export function money({ currency, minor }: Money): string {
  let format = known.get(currency)
  if (!format) known.set(currency, format = new Intl.NumberFormat('en-GB', { style: 'currency', currency, currencyDisplay: 'code' }))
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
}
