// Short messages about what was done, with a way to undo it for as long as the server allows.
import { signal } from '@preact/signals'
import { ApiError } from '../api'

interface Toast { id: number; text: string; undo?: () => void; isBad?: boolean }
const toasts = signal<Toast[]>([])
let next = 1

export function toast(text: string, how: { undo?: () => void; isBad?: boolean; for_ms?: number } = {}): void {
  const id = next++
  toasts.value = [...toasts.value.slice(-3), { id, text, ...how }]
  setTimeout(() => drop(id), how.for_ms ?? (how.isBad ? 12_000 : how.undo ? 10_000 : 5_000))
}

/** Says what the server refused, and what to do. */
export function toastError(error: unknown): void {
  if (error instanceof ApiError && error.status === 401) return
  toast(error instanceof ApiError ? `${error.title}: ${error.detail}` : String(error), { isBad: true })
}

const drop = (id: number) => { toasts.value = toasts.value.filter(of => of.id !== id) }

export function Toasts() {
  return (
    <div class="toasts" role="region" aria-label="Messages" aria-live="polite">
      {toasts.value.map(of => (
        <div key={of.id} class="toast" role={of.isBad ? 'alert' : 'status'}>
          <span class="text">{of.text}</span>
          {of.undo && <button type="button" onClick={() => { drop(of.id); of.undo!() }}>Undo</button>}
          <button type="button" aria-label="Close this message" onClick={() => drop(of.id)}>✕</button>
        </div>
      ))}
    </div>
  )
}
