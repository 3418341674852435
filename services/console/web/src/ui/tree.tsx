// The conditions of a rule as they were judged: each line of `tree` says true, false or unknown, two spaces a level, and the values seen
// in brackets.
export interface Node { outcome: 'true' | 'false' | 'unknown'; text: string; below: Node[] }

/** Reads lines such as `true      prices.low_24h [51] >= 5`. */
export function readTree(lines: string[]): Node[] {
  const top: Node[] = []
  const open: Array<{ depth: number; below: Node[] }> = [{ depth: -1, below: top }]
  for (const line of lines) {
    const found = /^(\s*)(\S+)\s+(.*)$/.exec(line)
    if (!found) continue
    const depth = found[1]!.length / 2
    const outcome = found[2] === 'true' || found[2] === 'false' ? found[2] : 'unknown'
    const node: Node = { outcome, text: found[3]!, below: [] }
    while (open.at(-1)!.depth >= depth) open.pop()
    open.at(-1)!.below.push(node)
    open.push({ depth, below: node.below })
  }
  return top
}

const MARK = { true: '✓', false: '✗', unknown: '?' }

function Nodes({ of }: { of: Node[] }) {
  return <>{of.map((node, index) => (
    <li key={index} class={node.outcome}>
      <div class="node"><span class="mark" aria-hidden="true">{MARK[node.outcome]}</span><span><span class="hidden-visually">{node.outcome}: </span>{node.text.split(/(\[[^\]]*\])/).map((part, place) => part.startsWith('[') ? <span key={place} class="seen">{part.slice(1, -1)}</span> : part)}</span></div>
      {node.below.length > 0 && <ul><Nodes of={node.below} /></ul>}
    </li>
  ))}</>
}

export function ConditionTree({ lines }: { lines: string[] }) {
  return <ul class="tree"><Nodes of={readTree(lines)} /></ul>
}
