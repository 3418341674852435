// Hot keys. A page says which it has while it is shown; `?` lists them. They guard modifiers and never act on what is being typed, nor behind
// a dialog.
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

export interface HotKey { keys: string; label: string; run: () => void }
export const hotKeys = signal<HotKey[]>([])

/** Keys while a component is shown: `p`, `/`, or two after each other as in `g l`. Pass a list that stays the same (useMemo, or a constant). */
export function useKeys(list: HotKey[]): void {
  useEffect(() => {
    hotKeys.value = [...hotKeys.peek(), ...list]
    return () => { hotKeys.value = hotKeys.peek().filter(of => !list.includes(of)) }
  }, [list])
}

let before = { key: '', at: 0 }
/** What goes on while it is held down: moving. Anything else is done once. */
const HELD = new Set(['j', 'k', 'ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight'])

addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return
  if (event.repeat && !HELD.has(event.key)) return
  const on = event.target as HTMLElement
  if (on.closest('input, textarea, select, [contenteditable=""], [contenteditable="true"], .cm-editor')) return
  // The focus may be outside it: on the page's body, after what had it is gone.
  if (document.querySelector('dialog[open]')) return
  const two = Date.now() - before.at < 1_000 ? `${before.key} ${event.key}` : ''
  before = { key: event.key, at: Date.now() }
  // The last that was added wins: a page over the shell.
  const found = hotKeys.value.findLast(of => of.keys === two) ?? hotKeys.value.findLast(of => of.keys === event.key)
  if (!found) return
  event.preventDefault()
  before = { key: '', at: 0 }
  found.run()
})
