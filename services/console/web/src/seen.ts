// Whether somebody looks at this tab. One that nobody has looked at for a while lets its connections go: browsers have six for a server,
// and all tabs share them.
import { signal, type ReadonlySignal } from '@preact/signals'

/** How long a tab that nobody looks at keeps its connections. */
const UNSEEN_MS = 15_000

const seen = signal(!document.hidden)
/** False from when nobody has looked for a while until somebody does; in a tab that was opened behind others, until somebody does first. */
export const isSeen: ReadonlySignal<boolean> = seen

let planned: ReturnType<typeof setTimeout> | undefined
document.addEventListener('visibilitychange', () => {
  clearTimeout(planned)
  if (document.hidden) planned = setTimeout(() => { seen.value = false }, UNSEEN_MS)
  else seen.value = true
})
