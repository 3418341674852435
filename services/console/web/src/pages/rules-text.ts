// Rule sets as text: what people wrote stays as they wrote it, comments and all, and only the line that is meant changes.
import type { Example } from '../api-types'

interface Block { start: number; end: number; keys: number }

const indentOf = (line: string) => line.length - line.trimStart().length
const isBare = (line: string) => /^\s*(#.*)?$/.test(line)
const unquoted = (text: string) => text.trim().replace(/\s+#.*$/, '').replace(/^(['"])(.*)\1$/, '$2')

/** The lines of a rule, from its dash to the last that says something. `keys` is how far its keys are indented. */
export function blockOf(lines: string[], id: string): Block | undefined {
  const top = lines.findIndex(line => /^rules:\s*(#.*)?$/.test(line))
  if (top < 0) return undefined
  const first = lines.findIndex((line, at) => at > top && !isBare(line))
  if (first < 0) return undefined
  const dash = indentOf(lines[first]!)
  const isItem = (line: string) => indentOf(line) === dash && /^-\s/.test(line.trimStart())
  for (let start = first; start < lines.length; start++) {
    if (!isItem(lines[start]!)) continue
    let end = start + 1
    while (end < lines.length && (isBare(lines[end]!) || indentOf(lines[end]!) > dash)) end++
    while (end > start + 1 && isBare(lines[end - 1]!)) end--
    const keys = dash + lines[start]!.slice(dash).match(/^-\s+/)![0].length
    for (let at = start; at < end; at++) {
      const text = at === start ? lines[at]!.slice(keys) : indentOf(lines[at]!) === keys ? lines[at]!.slice(keys) : ''
      const found = /^id:\s*(.*)$/.exec(text)
      if (found && unquoted(found[1]!) === id) return { start, end, keys }
    }
    start = end - 1
  }
  return undefined
}

function lineOfKey(lines: string[], { start, end, keys }: Block, key: string): number {
  for (let at = start; at < end; at++) {
    const isOfRule = at === start || indentOf(lines[at]!) === keys
    if (isOfRule && lines[at]!.slice(keys).startsWith(`${key}:`)) return at
  }
  return -1
}

/** The line of the set, from 1, at which a rule begins. */
export function lineOfRule(source: string, id: string): number | undefined {
  const block = blockOf(source.split('\n'), id)
  return block && block.start + 1
}

/** The set with a key of a rule that holds one word changed or added; undefined where the rule is not found in the text. */
export function withKey(source: string, id: string, key: string, value: string): string | undefined {
  const lines = source.split('\n')
  const block = blockOf(lines, id)
  if (!block) return undefined
  const at = lineOfKey(lines, block, key)
  if (at >= 0) lines[at] = `${lines[at]!.slice(0, block.keys)}${key}: ${value}`
  else lines.splice(block.end, 0, `${' '.repeat(block.keys)}${key}: ${value}`)
  return lines.join('\n')
}

const name = (text: string) => /^[\w.]+$/.test(text) ? text : JSON.stringify(text)

/** The set with an example added to a rule; undefined where the rule is not found in the text. */
export function withExample(source: string, id: string, { name: title, given, expect, now }: Example): string | undefined {
  const lines = source.split('\n')
  const block = blockOf(lines, id)
  if (!block) return undefined
  const pad = ' '.repeat(block.keys)
  const values = Object.entries(given).map(([feature, value]) => `${name(feature)}: ${value}`).join(', ')
  const added = [`${pad}  - name: ${JSON.stringify(title)}`, `${pad}    given: { ${values} }`, ...(now ? [`${pad}    now: ${now}`] : []), `${pad}    expect: '${expect}'`]
  const at = lineOfKey(lines, block, 'examples')
  if (at < 0) lines.splice(block.end, 0, `${pad}examples:`, ...added)
  else if (/examples:\s*\[\s*\]/.test(lines[at]!)) lines.splice(at, 1, `${pad}examples:`, ...added)
  else if (!/examples:\s*(#.*)?$/.test(lines[at]!)) return undefined
  else {
    let end = at + 1
    while (end < block.end && (isBare(lines[end]!) || indentOf(lines[end]!) > block.keys || /^\s*-\s/.test(lines[end]!))) end++
    while (isBare(lines[end - 1]!)) end--
    // What is there may stand less far in.
    const dash = at + 1 < end ? indentOf(lines[at + 1]!) : block.keys + 2
    lines.splice(end, 0, ...added.map(line => ' '.repeat(dash) + line.slice(block.keys + 2)))
  }
  return lines.join('\n')
}

/** For each line of `a` the line of `b` that it became, or -1. */
function matches(a: string[], b: string[]): Int32Array {
  const found = new Int32Array(a.length).fill(-1)
  let from = 0
  while (from < a.length && from < b.length && a[from] === b[from]) found[from] = from++
  let [endA, endB] = [a.length, b.length]
  while (endA > from && endB > from && a[endA - 1] === b[endB - 1]) found[--endA] = --endB
  const [height, width] = [endA - from, endB - from + 1]
  // Sets that differ in thousands of lines at once are no longer merged line by line.
  if (height * width > 16e6) return found
  const best = new Uint32Array((height + 1) * width)
  for (let i = height - 1; i >= 0; i--) {
    for (let j = width - 2; j >= 0; j--) {
      best[i * width + j] = a[from + i] === b[from + j] ? best[(i + 1) * width + j + 1]! + 1 : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!)
    }
  }
  for (let i = 0, j = 0; i < height && j < width - 1;) {
    if (a[from + i] === b[from + j]) found[from + i++] = from + j++
    else if (best[(i + 1) * width + j]! >= best[i * width + j + 1]!) i++
    else j++
  }
  return found
}

export interface Merged { text: string; conflicts: number }

/** Both changes of one text. Where both changed the same lines otherwise, both stand there between marks that no checker lets pass. */
export function merge(base: string, mine: string, theirs: string): Merged {
  const [old, own, other] = [base.split('\n'), mine.split('\n'), theirs.split('\n')]
  const [inOwn, inOther] = [matches(old, own), matches(old, other)]
  const out: string[] = []
  let conflicts = 0
  for (let i = 0, j = 0, k = 0; ;) {
    let stable = i
    while (stable < old.length && (inOwn[stable]! < 0 || inOther[stable]! < 0)) stable++
    const isEnd = stable === old.length
    const [toOwn, toOther] = isEnd ? [own.length, other.length] : [inOwn[stable]!, inOther[stable]!]
    const [was, ours, its] = [old.slice(i, stable), own.slice(j, toOwn), other.slice(k, toOther)]
    const [a, b, c] = [was.join('\n'), ours.join('\n'), its.join('\n')]
    if ((b === c && ours.length === its.length) || (c === a && its.length === was.length)) out.push(...ours)
    else if (b === a && ours.length === was.length) out.push(...its)
    else {
      conflicts++
      out.push('<<<<<<< yours', ...ours, '=======', ...its, '>>>>>>> in force')
    }
    if (isEnd) return { text: out.join('\n'), conflicts }
    out.push(old[stable]!)
    ;[i, j, k] = [stable + 1, toOwn + 1, toOther + 1]
  }
}
