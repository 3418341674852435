// A dialog of the browser's own: it keeps the focus, Escape closes it, and the focus goes back to where it was.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

export function Dialog({ title, onClose, children, footer, isFixed = false }: { title: ComponentChildren; onClose: () => void; children: ComponentChildren; footer?: ComponentChildren; isFixed?: boolean }) {
  const node = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null
    node.current!.showModal()
    return () => before?.focus?.()
  }, [])
  return (
    <dialog ref={node} aria-labelledby="dialog-title" onClose={onClose}
      onCancel={event => {
        // It goes at once: the browser tells of a close later, and somebody may have opened the next one by then.
        event.preventDefault()
        if (!isFixed) onClose()
      }}
      onClick={event => { if (!isFixed && event.target === node.current) onClose() }}>
      <div class="dlg">
        <header><h2 id="dialog-title">{title}</h2>{!isFixed && <button type="button" class="btn plain small" onClick={onClose}>Close</button>}</header>
        <div class="content">{children}</div>
        {footer && <footer>{footer}</footer>}
      </div>
    </dialog>
  )
}
