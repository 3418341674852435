// A table of any length: only the rows that can be seen exist. Rows are equally high, so a place is a multiplication.
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useKeys } from '../keys'

export interface Column<Item> {
  name: string
  head: string
  /** A grid track such as `90px` or `minmax(120px, 2fr)`. */
  width: string
  isNumber?: boolean
  /** Left out where the table is narrower than this, in pixels. */
  from?: number
  cell: (item: Item) => ComponentChildren
}

export interface VirtualTableProps<Item> {
  label: string
  columns: Column<Item>[]
  /** How many rows there are. */
  length: number
  /** The item at a row; called for visible rows only. */
  item: (row: number) => Item
  id: (item: Item) => string | number
  onOpen?: (item: Item) => void
  /** Rows that came at the top since the last change: what is looked at stays where it is. */
  grown?: number
  empty: ComponentChildren
}

const ROW = 32
const SPARE = 6

export function VirtualTable<Item>({ label, columns, length, item, id, onOpen, grown = 0, empty }: VirtualTableProps<Item>) {
  const body = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600, width: 1200 })
  const [at, setAt] = useState<{ row: number; id?: string | number }>({ row: -1 })

  useEffect(() => {
    const node = body.current!
    const measure = () => setView(was => ({ ...was, height: node.clientHeight, width: node.clientWidth }))
    const sizes = new ResizeObserver(measure)
    sizes.observe(node)
    return () => sizes.disconnect()
  }, [])

  const seen = useRef(grown)
  useLayoutEffect(() => {
    const more = grown - seen.current
    seen.current = grown
    const node = body.current!
    if (more > 0) setAt(was => was.row < 0 ? was : { ...was, row: was.row + more })
    if (more > 0 && node.scrollTop > 0) {
      node.scrollTop += more * ROW
      setView(was => ({ ...was, top: node.scrollTop }))
    }
  }, [grown])

  const shown = columns.filter(column => !column.from || view.width >= column.from)
  const tracks = shown.map(column => column.width).join(' ')
  const first = Math.max(0, Math.floor(view.top / ROW) - SPARE)
  const end = Math.min(length, Math.ceil((view.top + view.height) / ROW) + SPARE)

  const move = (to: number) => {
    const row = Math.max(0, Math.min(length - 1, to))
    if (length === 0) return
    setAt({ row })
    const node = body.current!
    if (row * ROW < node.scrollTop) node.scrollTop = row * ROW
    else if ((row + 1) * ROW > node.scrollTop + node.clientHeight) node.scrollTop = (row + 1) * ROW - node.clientHeight
  }
  // From anywhere on the page: the table then has the focus, so that its own keys act, Enter among them.
  const step = (by: number) => {
    body.current!.focus({ preventScroll: true })
    move(at.row + by)
  }
  const act = useRef(step)
  act.current = step
  useKeys(useMemo(() => [
    { keys: 'j', label: onOpen ? 'Next row; Enter opens it' : 'Next row', run: () => act.current(1) },
    { keys: 'k', label: 'Row before', run: () => act.current(-1) },
  ], [!!onOpen]))

  const onKey = (event: KeyboardEvent) => {
    // Links and buttons in cells have an Enter of their own.
    if (event.key === 'Enter' && onOpen && event.target === body.current && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (at.row < 0 || at.row >= length) return
      event.preventDefault()
      onOpen(item(at.row))
      return
    }
    const page = Math.floor(view.height / ROW) - 1
    const to: Record<string, number> = { ArrowDown: at.row + 1, ArrowUp: at.row - 1, PageDown: at.row + page, PageUp: at.row - page, Home: 0, End: length - 1 }
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in to)) return
    event.preventDefault()
    move(to[event.key]!)
  }

  const rows = []
  for (let row = first; row < end; row++) {
    const of = item(row)
    const own = id(of)
    rows.push(
      <div key={own} class="vt-row" role="row" aria-rowindex={row + 2} aria-selected={row === at.row} id={`row-${own}`}
        style={{ transform: `translateY(${row * ROW}px)`, gridTemplateColumns: tracks }}
        onClick={() => { setAt({ row }); onOpen?.(of) }}>
        {shown.map(column => <div key={column.name} role="gridcell" class={column.isNumber ? 'num' : undefined}>{column.cell(of)}</div>)}
      </div>,
    )
  }
  const active = at.row >= first && at.row < end && at.row < length ? `row-${id(item(at.row))}` : undefined
  return (
    <div class="vt" role="grid" aria-label={label} aria-rowcount={length + 1}>
      <div class="vt-head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: tracks }}>
        {shown.map(column => <div key={column.name} role="columnheader" class={column.isNumber ? 'num' : undefined}>{column.head}</div>)}
      </div>
      <div class="vt-body" role="rowgroup" ref={body} tabIndex={0} aria-label={`${label}, rows`} aria-activedescendant={active} onKeyDown={onKey}
        onScroll={event => { const top = event.currentTarget.scrollTop; setView(was => ({ ...was, top })) }}>
        {/* What says that there is nothing is the only row: a grid may contain no headings of its own. */}
        {length === 0 ? <div role="row"><div role="gridcell">{empty}</div></div> : <div role="presentation" style={{ height: `${length * ROW}px` }}>{rows}</div>}
      </div>
    </div>
  )
}
