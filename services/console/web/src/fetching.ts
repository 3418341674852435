// What a page has asked for, with the states that it must show: loading, an error, data that may be old.
import { signal, type Signal } from '@preact/signals'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api'
import { restarts } from './stream'

export interface Fetched<T> {
  data?: T
  error?: ApiError
  /** Nothing is there yet. */
  isLoading: boolean
  again: () => void
}

/** What was told, and what it was asked for with: told of other `deps`, it is nothing to show. */
interface Told<T> { deps: unknown[]; data?: T; error?: ApiError; isLoading: boolean }

const isSame = (a: unknown[], b: unknown[]) => a.length === b.length && a.every((one, at) => Object.is(one, b[at]))

/**
 * Asks when `deps` change, which say what is asked for: nothing of what was there is shown then. Asks again for the same, and keeps what is
 * there until the next is, when `again` is called, when `revisions` change, and when the server has been restarted. While one is asked for,
 * more of these make one more question when it has been answered: changes that come faster than answers never keep a page from its data.
 */
export function useFetched<T>(ask: (signal: AbortSignal) => Promise<T>, deps: unknown[], revisions: unknown[] = []): Fetched<T> {
  const [told, setTold] = useState<Told<T>>({ deps, isLoading: true })
  const latest = useRef({ ask, deps })
  latest.current = { ask, deps }
  const asks = useRef<() => void>(() => undefined)
  const start = restarts.value
  useEffect(() => {
    const stop = new AbortController()
    let isAsking = false
    let isDirty = false
    const run = async () => {
      // A page that already wants something else asks for it in a moment.
      if (stop.signal.aborted || !isSame(latest.current.deps, deps)) return
      if (isAsking) {
        isDirty = true
        return
      }
      isAsking = true
      try {
        const data = await latest.current.ask(stop.signal)
        if (!stop.signal.aborted) setTold({ deps, data, isLoading: false })
      } catch (error) {
        const failed = error instanceof ApiError ? error : new ApiError(0, 'page_failed', 'This page failed', String(error))
        if (!stop.signal.aborted) setTold(was => ({ deps, data: isSame(was.deps, deps) ? was.data : undefined, error: failed, isLoading: false }))
      }
      isAsking = false
      if (!isDirty) return
      isDirty = false
      void run()
    }
    asks.current = () => void run()
    void run()
    return () => stop.abort()
  }, [...deps, start])
  const isFirst = useRef(true)
  useEffect(() => {
    // The first is asked above.
    if (isFirst.current) isFirst.current = false
    else asks.current()
  }, revisions)
  const again = useCallback(() => asks.current(), [])
  const { data, error, isLoading } = isSame(told.deps, deps) ? told : { data: undefined, error: undefined, isLoading: true }
  return { data, error, isLoading, again }
}

/** For what a page asks by hand: `const isLast = begin()` before it asks, and what is told counts only while `isLast()`. */
export function useLast(): () => () => boolean {
  const last = useRef(0)
  return useCallback(() => {
    const own = ++last.current
    return () => own === last.current
  }, [])
}

/** A signal that lives as long as the browser remembers: preferences, never anything of the marketplace. */
export function remembered<T extends string>(name: string, otherwise: T): Signal<T> {
  let kept: string | null = null
  try { kept = localStorage.getItem(name) } catch { /* Storage may be off. */ }
  const of = signal((kept ?? otherwise) as T)
  of.subscribe(value => {
    try {
      if (value === otherwise) localStorage.removeItem(name)
      else localStorage.setItem(name, value)
    } catch { /* The preference then lasts as long as the page. */ }
  })
  return of
}
