// Two texts, line by line: what is gone, what is new, and a little of what stands around it.
export interface Line { kind: 'same' | 'add' | 'del' | 'skip'; text: string; before?: number; after?: number }

const AROUND = 3

/** Above so many cells, texts that differ all over are compared no further than where they begin and end alike. */
const CELLS_MAX = 16e6

/** The longest common subsequence of lines, of what lies between the first and the last difference. */
export function diffLines(before: string, after: string): Line[] {
  const a = before.split('\n')
  const b = after.split('\n')
  let from = 0
  while (from < a.length && from < b.length && a[from] === b[from]) from++
  let [endA, endB] = [a.length, b.length]
  while (endA > from && endB > from && a[endA - 1] === b[endB - 1]) { endA--; endB-- }
  const width = endB - from + 1
  const best = new Uint32Array((endA - from + 1) * width > CELLS_MAX ? 0 : (endA - from + 1) * width)
  for (let i = endA - 1; i >= from && best.length > 0; i--) {
    for (let j = endB - 1; j >= from; j--) {
      const at = (i - from) * width + j - from
      best[at] = a[i] === b[j] ? best[at + width + 1]! + 1 : Math.max(best[at + width]!, best[at + 1]!)
    }
  }
  const all: Line[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    const isBetween = i >= from && (i < endA || j < endB)
    const at = (i - from) * width + j - from
    if (!isBetween || (i < endA && j < endB && a[i] === b[j])) all.push({ kind: 'same', text: a[i++]!, before: i, after: ++j })
    else if (i < endA && (j >= endB || best.length === 0 || best[at + width]! >= best[at + 1]!)) all.push({ kind: 'del', text: a[i]!, before: ++i })
    else all.push({ kind: 'add', text: b[j]!, after: ++j })
  }
  const isNear = all.map((_, at) => all.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(line => line.kind !== 'same'))
  const shown: Line[] = []
  let skipped = 0
  const skip = () => { if (skipped > 0) shown.push({ kind: 'skip', text: `${skipped} lines are the same` }); skipped = 0 }
  all.forEach((line, at) => { if (isNear[at]) { skip(); shown.push(line) } else skipped++ })
  skip()
  return shown
}

const SIGN = { same: ' ', add: '+', del: '−', skip: '' }

export function Diff({ before, after }: { before: string; after: string }) {
  const lines = diffLines(before, after)
  if (before === after) return <p class="quiet">Both are the same.</p>
  return (
    <div class="diff" role="table" aria-label="Differences" tabIndex={0}>
      {lines.map((line, at) => (
        <div key={at} class={line.kind} role="row">
          <span class="n" role="cell">{line.before}</span><span class="n" role="cell">{line.after}</span>
          <span role="cell" aria-label={line.kind === 'add' ? 'added' : line.kind === 'del' ? 'taken out' : undefined}>{SIGN[line.kind]}</span><span role="cell">{line.text}</span>
        </div>
      ))}
    </div>
  )
}
