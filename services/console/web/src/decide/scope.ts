// What of a supplier a restriction covers.
import type { Level, Listing, Restriction, RestrictionFacts, Scope } from '../api-types'

/** Whether a restriction of that scope covers a listing; with a region, whether it covers it there. */
export function covers(scope: Scope, listing: Listing, region?: string): boolean {
  switch (scope.kind) {
    case 'supplier': return true
    case 'sku': return listing.sku === scope.sku
    case 'listing': return listing.listing === scope.listing
    case 'region': return region ? region === scope.region : listing.regions.includes(scope.region)
  }
}

const ORDER: Level[] = ['watch', 'limit', 'cap', 'dim', 'quarantine', 'lockout']

/** How hard a level is, to compare it with another. */
export const hardness = (level: Level): number => ORDER.indexOf(level)

/** The hardest first. */
export const byHardness = (a: { level: Level }, b: { level: Level }): number => hardness(b.level) - hardness(a.level)

/** The hardest of what covers a listing. */
export function hardest<Held extends Pick<Restriction | RestrictionFacts, 'scope' | 'level'>>(held: Held[], listing: Listing): Held | undefined {
  return held.filter(of => covers(of.scope, listing)).sort(byHardness)[0]
}

/** What a level does to what buyers see. */
export const EFFECT: Record<Level, string> = {
  watch: 'shown as ever; a person is asked to look', limit: 'shown; it may submit less often', cap: 'shown; no more of it can be ordered than was handed over lately',
  dim: 'shown last, and capped', quarantine: 'withheld from buyers', lockout: 'withheld, and only reductions are taken',
}
