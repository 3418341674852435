// One stream for the tab. Pages follow channels by name; the stream carries the union of what they follow, goes on where it was after it
// was lost, and says how far behind the page is.
import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { findSession, session, sessionEnded } from './api'
import { isSeen } from './seen'
import type { Row } from './stream-types'

export type { Row } from './stream-types'

/** After so long without anything the page says that it is behind; the server sends something every two seconds. */
const SILENCE_MS = 4_000
const AGAIN_MS = [500, 1_000, 2_000, 4_000, 8_000]

type State = 'off' | 'connecting' | 'live' | 'lost'
const state = signal<State>('off')
const now = signal(Date.now())
/** When the server said something last, by the clock of this machine. */
const heard = signal(Date.now())
/** Grows when another start of the server answers: what is shown may be of the one before. */
export const restarts = signal(0)

export const freshness = computed(() => {
  const behind_s = Math.max(0, Math.round((now.value - heard.value) / 1000))
  const isLate = now.value - heard.value > SILENCE_MS
  if (state.value === 'live' && !isLate) return { kind: 'live' as const, text: 'live' }
  if (state.value === 'connecting' && !isLate) return { kind: 'late' as const, text: 'connecting' }
  if (state.value === 'off') return { kind: 'late' as const, text: 'not connected' }
  return { kind: state.value === 'live' ? 'late' as const : 'lost' as const, text: state.value === 'live' ? `${behind_s} s behind` : `reconnecting, ${behind_s} s behind` }
})

const states = new Map<string, Signal<unknown>>()
const followed = new Map<string, number>()
const listeners = new Set<(rows: Row[], missed: number) => void>()
let source: EventSource | null = null
let carried = ''
let last = ''
let instance = ''
let tries = 0
let planned: number | undefined

function stateOf(channel: string): Signal<unknown> {
  let of = states.get(channel)
  if (!of) states.set(channel, of = signal<unknown>(undefined))
  return of
}

function plan(after_ms: number) {
  clearTimeout(planned)
  planned = setTimeout(open, after_ms) as unknown as number
}

function open(): void {
  const channels = [...followed.keys()].sort().join()
  if (channels === carried && source && source.readyState !== EventSource.CLOSED) return
  close()
  if (!channels || !session.value || sessionEnded.value) return
  // It opens when somebody looks.
  if (!isSeen.value) return
  carried = channels
  state.value = state.value === 'lost' ? 'lost' : 'connecting'
  const url = `/console/api/stream?channels=${encodeURIComponent(channels)}${last ? `&last=${last}` : ''}`
  const own = source = new EventSource(url)
  const hear = (event: Event) => {
    heard.value = Date.now()
    if ((event as MessageEvent).lastEventId && followed.has('decisions')) last = (event as MessageEvent).lastEventId
    state.value = 'live'
    tries = 0
  }
  const on = (name: string, take: (data: any) => void) => own.addEventListener(name, event => {
    if (own !== source) return
    hear(event)
    take(JSON.parse((event as MessageEvent<string>).data))
  })
  on('hello', data => {
    if (instance && instance !== data.instance) restarts.value++
    instance = data.instance
  })
  on('beat', () => undefined)
  on('state', data => { stateOf(data.channel).value = data.data })
  on('decisions', data => { for (const listener of listeners) listener(data.rows, 0) })
  on('gap', data => { for (const listener of listeners) listener([], data.missed) })
  on('ended', () => {
    close()
    sessionEnded.value = true
  })
  own.onerror = () => {
    if (own !== source) return
    state.value = 'lost'
    // A browser gives up for good when the answer is no stream; and it may be that the session has ended.
    own.close()
    source = null
    void findSession().then(() => undefined, () => undefined)
    plan(AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]!)
  }
}

isSeen.subscribe(seen => {
  if (seen) return plan(0)
  close()
  state.value = 'off'
})

function close(): void {
  source?.close()
  source = null
  carried = ''
}

function follow(channel: string): () => void {
  followed.set(channel, (followed.get(channel) ?? 0) + 1)
  // What else the page follows comes in the same moment, and makes one stream with it.
  plan(30)
  return () => {
    const left = (followed.get(channel) ?? 1) - 1
    if (left > 0) followed.set(channel, left)
    else followed.delete(channel)
    // The next page may follow the same.
    plan(300)
  }
}

/** What a channel says, as it is now; undefined until it has said something. */
export function useChannel<T>(channel: string): ReadonlySignal<T | undefined> {
  useEffect(() => follow(channel), [channel])
  return stateOf(channel) as ReadonlySignal<T | undefined>
}

/** Decisions as they happen; `missed` is how many were no longer there when the stream went on. */
export function useDecisions(take: (rows: Row[], missed: number) => void): void {
  useEffect(() => {
    listeners.add(take)
    const unfollow = follow('decisions')
    return () => { listeners.delete(take); unfollow() }
  }, [take])
}

/** A page that shows decisions from the beginning asks for those before now as well. */
export function forgetPlace(): void {
  last = ''
  // The stream that is open goes on from now: another one begins before.
  carried = ''
}

setInterval(() => {
  now.value = Date.now()
  // A connection that is dead without saying so.
  if (source && Date.now() - heard.value > 15_000 && state.value === 'live') source.onerror?.(new Event('error'))
}, 1_000)
session.subscribe(() => plan(0))
sessionEnded.subscribe(() => plan(0))
