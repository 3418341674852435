// Two texts, line by line: what is gone, what is new, and a little of what stands around it.
export interface Line { kind: 'same' | 'add' | 'del' | 'skip'; text: string; before?: number; after?: number }

const AROUND = 3

/** The longest common subsequence of lines; texts of rules have hundreds of lines, so the square is small. */
export function diffLines(before: string, after: string): Line[] {
  const a = before.split('\n')
  const b = after.split('\n')
  const width = b.length + 1
  const best = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1]! + 1 : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!)
    }
  }
  const all: Line[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) all.push({ kind: 'same', text: a[i++]!, before: i, after: ++j })
    else if (i < a.length && (j >= b.length || best[(i + 1) * width + j]! >= best[i * width + j + 1]!)) all.push({ kind: 'del', text: a[i]!, before: ++i })
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
