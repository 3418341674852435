// Calls to the server. Whatever goes wrong is an ApiError that says what happened and what to do next.
import { signal } from '@preact/signals'
import type { FieldError } from './api-types'

export class ApiError extends Error {
  constructor(
    /** 0 where no answer came. */
    readonly status: number,
    /** Stable; `no_answer` where none came. */
    readonly code: string,
    /** What happened. */
    readonly title: string,
    /** What happened this time and what to do. */
    readonly detail: string,
    readonly fields: FieldError[] = [],
    /** Seconds after which it may be asked again. */
    readonly retryAfter?: number,
  ) {
    super(detail || title)
  }
  /** What is wrong with a field, by its JSON pointer or name. */
  field(name: string): string | undefined {
    return this.fields.find(of => of.field === name || of.field === `/${name}`)?.detail
  }
}

export interface SignedIn {
  name: string
  role: 'supplier' | 'buyer' | 'order-system' | 'analyst' | 'approver' | 'operator'
  supplier?: string
  csrf: string
  ends: number
  idle_ends: number
  now: number
}

/** Who is signed in; null while nobody is, undefined while that is not known. */
export const session = signal<SignedIn | null | undefined>(undefined)
/** The session has ended while pages were open. They stay as they are until somebody has signed in again. */
export const sessionEnded = signal(false)

export interface Answer<T> { data: T; etag: string | null; headers: Headers; status: number }
export interface Asked {
  query?: Record<string, string | number | boolean | null | undefined>
  body?: unknown
  /** Text that is no JSON, with its type. */
  text?: { type: string; body: string | Blob }
  headers?: Record<string, string>
  ifMatch?: string
  /** A name for a write, so that sending it again does nothing more. */
  idempotencyKey?: string
  signal?: AbortSignal
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export async function api<T>(method: Method, path: string, asked: Asked = {}): Promise<Answer<T>> {
  const url = new URL(path, location.origin)
  for (const [name, value] of Object.entries(asked.query ?? {})) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, String(value))
  }
  const headers = new Headers(asked.headers)
  headers.set('accept', 'application/json')
  if (asked.body !== undefined) headers.set('content-type', 'application/json')
  if (asked.text) headers.set('content-type', asked.text.type)
  if (asked.ifMatch) headers.set('if-match', asked.ifMatch)
  if (asked.idempotencyKey) headers.set('idempotency-key', asked.idempotencyKey)
  if (method !== 'GET' && session.value) headers.set('stockade-csrf', session.value.csrf)
  const body = asked.text?.body ?? (asked.body === undefined ? undefined : JSON.stringify(asked.body))
  let response: Response
  try {
    response = await fetch(url, { method, headers, body, signal: asked.signal, credentials: 'same-origin' })
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    throw new ApiError(0, 'no_answer', 'No answer from the server', 'It may be restarting, or the network is down. Nothing is known of what became of the request; try again.')
  }
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  let data: unknown = text
  if (isJson && text) {
    try { data = JSON.parse(text) } catch { /* What stands between may answer in words of its own. */ }
  }
  if (response.ok || response.status === 304) {
    return { data: data as T, etag: response.headers.get('etag'), headers: response.headers, status: response.status }
  }
  const problem = (isJson ? data : {}) as { code?: string; title?: string; detail?: string; errors?: FieldError[] }
  const wait = Number(response.headers.get('retry-after') ?? NaN)
  const error = new ApiError(
    response.status, problem.code ?? `http_${response.status}`, problem.title ?? `Answer ${response.status}`,
    problem.detail ?? 'The server, or something in front of it, refused without saying why.',
    problem.errors ?? [], Number.isFinite(wait) ? wait : undefined,
  )
  if (response.status === 401 && session.value) sessionEnded.value = true
  throw error
}

export const get = <T>(path: string, asked?: Asked) => api<T>('GET', path, asked)
export const post = <T>(path: string, body?: unknown, asked?: Asked) => api<T>('POST', path, { body, ...asked })
export const put = <T>(path: string, body?: unknown, asked?: Asked) => api<T>('PUT', path, { body, ...asked })
export const del = <T>(path: string, asked?: Asked) => api<T>('DELETE', path, asked)

/** Asks who is signed in. */
export async function findSession(): Promise<void> {
  try {
    const { data } = await get<SignedIn>('/console/api/session')
    const isOther = session.value && (session.value.name !== data.name || session.value.role !== data.role)
    session.value = data
    sessionEnded.value = false
    // What one person sees is not what another may: begin anew.
    if (isOther) location.reload()
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      if (!session.value) session.value = null
    } else if (session.value === undefined) throw error
  }
}

export async function signOut(): Promise<void> {
  try {
    await del('/console/api/session')
  } catch (error) {
    // Its cookie may still be good, and whoever comes next to this desk would be signed in.
    if (!(error instanceof ApiError && error.status === 401)) throw error
  }
  session.value = null
}

/** Somebody signs in with a new link in another tab; this one then goes on. */
addEventListener('visibilitychange', () => { if (!document.hidden && sessionEnded.value) void findSession() })
addEventListener('focus', () => { if (sessionEnded.value) void findSession() })

/** Whoever reads and scrolls uses the session as well, though the page asks for nothing; a page that nobody looks at does not. */
const USED_EVERY_MS = 5 * 60_000
let used = Date.now()
for (const kind of ['pointerdown', 'keydown', 'wheel']) {
  addEventListener(kind, () => {
    if (Date.now() - used < USED_EVERY_MS || !session.value || sessionEnded.value) return
    used = Date.now()
    void findSession().catch(() => undefined)
  }, { passive: true })
}
