// Where one is: the path and the query are signals, every view is a link, and Back undoes a filter.
import { computed, signal } from '@preact/signals'

export const BASE = '/console'
const here = signal(location.pathname + location.search)
addEventListener('popstate', () => { here.value = location.pathname + location.search })

export const path = computed(() => here.value.split('?')[0]!)
export const query = computed(() => new URLSearchParams(here.value.split('?')[1] ?? ''))

export function go(to: string, how: { replace?: boolean } = {}): void {
  if (to === here.value) return
  history[how.replace ? 'replaceState' : 'pushState'](null, '', to)
  here.value = to
}

let typed = { name: '', at: 0 }

/** Changes filters. Each is a step that Back undoes; letters typed in one go (`typing`) are one step. */
export function setQuery(changes: Record<string, string | null>, how: { typing?: boolean; replace?: boolean } = {}): void {
  const next = new URLSearchParams(query.value)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') next.delete(name)
    else next.set(name, value)
  }
  const text = next.toString()
  const name = Object.keys(changes).join()
  const isSameGo = how.typing === true && typed.name === name && Date.now() - typed.at < 1500
  typed = { name: how.typing ? name : '', at: Date.now() }
  go(path.value + (text ? `?${text}` : ''), { replace: how.replace ?? isSameGo })
}

/** The parts of `pattern` that begin with a colon, as they stand in `at`; null where it is another path. */
export function match(pattern: string, at: string): Record<string, string> | null {
  const wanted = pattern.split('/')
  const given = at.replace(/\/+$/, '').split('/')
  if (wanted.length !== given.length) return null
  const found: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index]!
    if (part.startsWith(':')) {
      try { found[part.slice(1)] = decodeURIComponent(value) } catch { return null }
    } else if (part !== value) return null
  }
  return found
}

/** Follows links to our own pages without loading anew; whoever wants a new tab gets one. */
addEventListener('click', event => {
  const link = (event.target as Element | null)?.closest?.('a')
  const isOther = event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey
  if (!link || isOther || link.target || link.origin !== location.origin || !link.pathname.startsWith(BASE + '/')) return
  event.preventDefault()
  go(link.pathname + link.search)
})
