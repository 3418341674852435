// An editor for rules. Its chunk is loaded when it is first shown.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { EditorView } from '@codemirror/view'
import type { Options } from './codemirror'
import { Loading } from './states'

/** `doc` is what it begins with; give it another `key` to begin anew. */
export function Editor(props: Options) {
  const place = useRef<HTMLDivElement>(null)
  const [isThere, setThere] = useState(false)
  const latest = useRef(props)
  latest.current = props
  useEffect(() => {
    let view: EditorView | undefined
    let isGone = false
    void import('./codemirror').then(({ create }) => {
      if (isGone) return
      view = create(place.current!, { ...latest.current, onChange: text => latest.current.onChange(text) })
      setThere(true)
    })
    return () => { isGone = true; view?.destroy() }
  }, [])
  return <div ref={place}>{!isThere && <Loading lines={8} label="Loading the editor" />}</div>
}
