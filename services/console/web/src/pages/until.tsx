// A clock that runs down.
import { useEffect, useState } from 'preact/hooks'
import { duration } from '../format'

/** How long it is until a moment, as it runs. */
export function Until({ at }: { at: string }) {
  const [now, setNow] = useState(Date.now())
  useEffect(() => { const tick = setInterval(() => setNow(Date.now()), 1_000); return () => clearInterval(tick) }, [])
  const left_ms = Date.parse(at) - now
  return <span class="num">{left_ms > 0 ? `in ${duration(Math.floor(left_ms / 1_000) * 1_000)}` : <span class="badge bad">{duration(-left_ms)} over</span>}</span>
}
