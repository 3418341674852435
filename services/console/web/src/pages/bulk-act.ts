// Taking back all that one rule did: what it comes to, the one call that does it, how far that is, and putting it back.
import { ApiError, get, post } from '../api'
import type { DecidedLater, Decision, Decisions, Restriction, Reviews, RuleRestored } from '../api-types'

/** Pages of 500 decisions that are read for a count. */
export const PAGES_MAX = 40
const PAGE = 500
/** How often it is asked how far an act is. */
const EVERY_MS = 500
/** Looks without anything new, after which it is asked whether anything is left. */
const QUIET_LOOKS = 4
/** Calls of an undo that are on their way at once: few, for the arbiter decides them one after the other. */
const AT_ONCE = 4
/** How often a wait looks whether it is stopped. */
const STOP_MS = 200

export interface Held { supplier: string; of: Restriction }
export interface Found { rows: Held[]; isCut: boolean; excess: number }

const sleep = (ms: number) => new Promise(done => setTimeout(done, ms))

/** Pages of decisions, the newest first, until `each` has seen enough; whether there would have been more. */
async function walk(each: (rows: Decision[]) => boolean, signal?: AbortSignal): Promise<boolean> {
  let cursor: number | null = null
  for (let page = 0; page < PAGES_MAX; page++) {
    const data: Decisions = (await get<Decisions>('/v1/decisions', { query: { limit: PAGE, cursor }, signal })).data
    if (each(data.decisions as Decision[]) || data.next === null || data.decisions.length === 0) return false
    cursor = data.next
  }
  return true
}

/** What a rule imposed since then and is in force, by what the last decision of each supplier says, and what a budget held back of it. */
export async function find(rule: string, since: number, signal: AbortSignal): Promise<Found> {
  const seen = new Set<string>()
  const rows: Held[] = []
  const [isCut, { data: waiting }] = await Promise.all([
    walk(decisions => {
      for (const decision of decisions) {
        if (seen.has(decision.supplier)) continue
        seen.add(decision.supplier)
        for (const of of decision.in_force) if (of.rule?.id === rule && Date.parse(of.since) >= since) rows.push({ supplier: decision.supplier, of })
      }
      return decisions.some(decision => Date.parse(decision.at) < since)
    }, signal),
    get<Reviews>('/v1/reviews', { query: { kind: 'excess', limit: PAGE }, signal }),
  ])
  const excess = waiting.reviews.filter(of => of.proposal?.rule.id === rule && Date.parse(of.opened_at) >= since).length
  return { rows: rows.sort((a, b) => Date.parse(b.of.since) - Date.parse(a.of.since)), isCut, excess }
}

export interface Act { id: string; /** How many it comes to; undefined where it was kept and is not decided yet. */ all?: number; kept: number; isStopped: boolean }

/** Restores everyone whom the rule restricted since then. One record: what is left goes on by itself. */
export async function restore(rule: string, asked: { since: number; confirmed: boolean; stop: boolean; reason: string }): Promise<Act> {
  const { data, status } = await post<RuleRestored | DecidedLater>(`/v1/rules/${encodeURIComponent(rule)}:restore`, { ...asked, since: new Date(asked.since).toISOString() })
  if (status === 202) return { id: (data as DecidedLater).proposal, kept: 0, isStopped: asked.stop }
  const told = data as RuleRestored
  return { id: told.act, all: told.released + told.dismissed + told.remaining, kept: told.kept, isStopped: told.stopped }
}

/** Follows an act until all of it is decided, or nothing of it is left to be; gives its decisions. */
export async function follow(act: Act, since: number, isOver: () => boolean, left: () => Promise<number>, show: (done: number) => void): Promise<Decision[]> {
  const done = new Map<string, Decision>()
  for (let quiet = 0; !isOver();) {
    const before = done.size
    await walk(decisions => {
      const known = done.size
      for (const decision of decisions) if (decision.act === act.id) done.set(decision.version, decision)
      // They come one after the other; where a page brings nothing new, older ones do not either.
      return done.size === known || decisions.some(decision => Date.parse(decision.at) < since)
    })
    show(done.size)
    if (act.all !== undefined && done.size >= act.all) break
    quiet = done.size > before ? 0 : quiet + 1
    if (quiet >= QUIET_LOOKS) {
      // What ends by itself meanwhile is decided by nobody.
      if (await left() === 0) break
      quiet = 0
    }
    await sleep(EVERY_MS)
  }
  return [...done.values()]
}

async function wait(seconds: number, isStopped: () => boolean): Promise<void> {
  const end = Date.now() + seconds * 1_000
  while (Date.now() < end && !isStopped()) await sleep(Math.min(STOP_MS, end - Date.now()))
}

/** Runs over rows a few at a time, and stops between two when told so. */
export async function each(rows: Held[], isStopped: () => boolean, run: (row: Held) => Promise<unknown>, then: (row: Held, error?: ApiError) => void): Promise<void> {
  let at = 0
  /** Too much at once, or not now: as long as the server says, then the same row again. */
  const finish = async (row: Held) => {
    while (!isStopped()) {
      const error = await run(row).then(() => undefined, (failed: unknown) => failed instanceof ApiError ? failed : new ApiError(0, 'page_failed', 'This page failed', String(failed)))
      const isLater = error?.status === 429 || (error?.status === 503 && error.retryAfter !== undefined)
      if (!error || !isLater) return then(row, error)
      await wait(error.retryAfter ?? 1, isStopped)
    }
  }
  const worker = async () => { while (at < rows.length && !isStopped()) await finish(rows[at++]!) }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
