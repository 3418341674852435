// What a page has asked for, with the states that it must show: loading, an error, data that may be old.
import { signal, type Signal } from '@preact/signals'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api'
import { restarts } from './stream'

export interface Fetched<T> {
  data?: T
  error?: ApiError
  /** Nothing is there yet. */
  isLoading: boolean
  again: () => void
}

/** Asks when `deps` change, when `again` is called, and when the server has been restarted. What was there stays until the next is. */
export function useFetched<T>(ask: (signal: AbortSignal) => Promise<T>, deps: unknown[]): Fetched<T> {
  const [of, setOf] = useState<{ data?: T; error?: ApiError; isLoading: boolean }>({ isLoading: true })
  const [turn, setTurn] = useState(0)
  const latest = useRef(ask)
  latest.current = ask
  const start = restarts.value
  useEffect(() => {
    const stop = new AbortController()
    latest.current(stop.signal).then(
      data => setOf({ data, isLoading: false }),
      (error: unknown) => {
        if (stop.signal.aborted) return
        const told = error instanceof ApiError ? error : new ApiError(0, 'page_failed', 'This page failed', String(error))
        setOf(old => ({ data: old.data, error: told, isLoading: false }))
      },
    )
    return () => stop.abort()
  }, [...deps, turn, start])
  return { ...of, again: () => setTurn(was => was + 1) }
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
