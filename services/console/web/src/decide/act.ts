// What people decide, and how each of it is taken back: by a decision of its own, for nothing that was decided is ever unsaid.
import { ApiError, get, post } from '../api'
import type { Decisions, Restriction, Review, Ruled, Scope } from '../api-types'
import { hardness } from './scope'

export type Verb = 'release' | 'confirm' | 'extend' | 'snooze'

/** What is decided about: a restriction, or what waits for a review. */
export interface Target { supplier: string; restriction?: Restriction | null; review?: Review }

export interface Done {
  /** For a message. */
  text: string
  /** Decides what sets it right again; absent where no decision of the API does. */
  undo?: () => Promise<unknown>
}

export const subjectOf = (scope: Scope | undefined): string => {
  switch (scope?.kind) {
    case 'region': return `in ${scope.region}`
    case 'sku': return `good ${scope.sku}`
    case 'listing': return `listing ${scope.listing}`
    default: return 'whole supplier'
  }
}

/** Soonest end that the server takes, with room for clocks that differ. */
const SOON_MS = 5_000

/** What is in force on a supplier, by its last decision. */
const inForce = async (supplier: string): Promise<Restriction[]> => (await get<Decisions>('/v1/decisions', { query: { supplier, limit: 1 } })).data.decisions[0]?.in_force ?? []

/**
 * Puts back what was released, as the person's own decision, until the same time. A person's decision takes the place of whatever is in force
 * on that scope: what came there meanwhile and is as hard stays, and the undo is refused.
 */
export function putBack(supplier: string, was: Restriction): () => Promise<unknown> {
  return async () => {
    const scope = subjectOf(was.scope)
    // A release that was kept and is not decided yet leaves the restriction itself in force for a moment.
    const there = (await inForce(supplier)).find(of => subjectOf(of.scope) === scope)
    const by = there && there.id !== was.id && hardness(there.level) >= hardness(was.level) ? there : undefined
    if (by) throw new ApiError(409, 'held_by_another', 'Not undone', `${supplier}, ${scope}: ${by.level} is in force again by ${by.id}, which stays as it is.`)
    return post('/v1/overrides', {
      supplier, deny: was.level, scope: was.scope,
      expires_at: new Date(Math.max(Date.parse(was.expires_at), Date.now() + 60_000)).toISOString(),
      reason: `the release of ${was.id} is undone`,
      // What somebody decides between this look and the decision stays: the server then refuses.
    }, there ? { ifMatch: there.id } : { headers: { 'if-none-match': '*' } })
  }
}

/** Takes one's own confirmation back, which opens the review again. */
const reopen = (restriction: string) => () => post<Ruled>(`/v1/decisions/${encodeURIComponent(restriction)}:reopen`, { reason: 'the confirmation is undone' })

export const release = (of: Restriction, reason: string) => post<Ruled>(`/v1/decisions/${encodeURIComponent(of.id)}:release`, { reason })

/** Decides, and says how to undo it. Refusals are thrown as they come. */
export async function decide(verb: Verb, { supplier, restriction, review }: Target, reason: string, until?: string): Promise<Done> {
  const rule = restriction?.rule?.id ?? review?.proposal?.rule.id
  if (verb === 'snooze') {
    const snooze = (expires_at: string, why: string) => post<Ruled>(`/v1/rules/${encodeURIComponent(rule!)}:snooze`, { supplier, expires_at, reason: why })
    const { status } = await snooze(until!, reason)
    return { text: said(status, `${rule} is snoozed for ${supplier}`), undo: () => snooze(new Date(Date.now() + SOON_MS).toISOString(), 'the snooze is undone') }
  }
  if (verb === 'extend') {
    const extend = (expires_at: string, why: string) => post<Ruled>(`/v1/decisions/${encodeURIComponent(restriction!.id)}:extend`, { expires_at, reason: why })
    const { status } = await extend(until!, reason)
    const before = restriction!.expires_at
    return { text: said(status, `${restriction!.id} runs longer`), undo: () => extend(new Date(Math.max(Date.parse(before), Date.now() + SOON_MS)).toISOString(), 'the extension is undone') }
  }
  if (review) {
    const { data, status } = await post<Ruled>(`/v1/reviews/${encodeURIComponent(review.id)}:settle`, { finding: verb === 'confirm' ? 'uphold' : 'release', reason })
    return { text: said(status, settled(verb, review)), undo: undoOf(verb, review, data) }
  }
  if (verb === 'release') {
    const { status } = await release(restriction!, reason)
    return { text: said(status, `${supplier}: ${restriction!.level} released`), undo: putBack(supplier, restriction!) }
  }
  const { status } = await post<Ruled>(`/v1/decisions/${encodeURIComponent(restriction!.id)}:confirm`, { reason })
  return { text: said(status, `${restriction!.id} confirmed`), undo: reopen(restriction!.id) }
}

/** 202 says that it is durable and not decided yet. */
const said = (status: number, text: string) => status === 202 ? `${text}, as soon as it is decided: it is kept, and this page will show it` : text

function settled(verb: Verb, { kind, supplier }: Review): string {
  if (kind === 'appeal') return `${supplier}: appeal ${verb === 'confirm' ? 'turned down' : 'granted'}`
  if (kind === 'excess') return `${supplier}: ${verb === 'confirm' ? 'imposed after all' : 'dismissed'}`
  return `${supplier}: ${verb === 'confirm' ? 'confirmed' : 'released'}`
}

function undoOf(verb: Verb, review: Review, told: Ruled): (() => Promise<unknown>) | undefined {
  if (verb === 'release' && review.restriction) return putBack(review.supplier, review.restriction)
  if (verb !== 'confirm') return undefined
  // An appeal that was turned down was answered: that is not unsaid, and the supplier may appeal again.
  if (review.kind !== 'excess') return review.kind !== 'appeal' && review.restriction ? reopen(review.restriction.id) : undefined
  const imposed = told.in_force?.find(of => of.rule?.id === review.proposal?.rule.id && of.confirmed)
  return imposed && (() => release(imposed, 'the decision is undone'))
}
