// What is known of a supplier: the tests with what peers would have brought, what people claim beside what was handed over, the score,
// the windows, and the links with what each says.
import type { AttributeKind, Feature, Risk } from '../api-types'
import { eValueInWords, inUnits, meaningOf, oddsInWords, whoVouches, windowName } from '../decide/features'
import { Vouched } from '../decide/parts'
import { count, number } from '../format'
import { SupplierLink } from '../links'
import { Empty, Panel, Time } from '../ui/states'

interface Known { risk: Risk; features: Map<string, Feature> }

/** Powers of ten from which a bar is full. */
const FULL = 6

function Bar({ of, full, isBad }: { of: number; full: number; isBad?: boolean }) {
  return <span class={`meter${isBad ? ' bad' : ''}`} aria-hidden="true"><i style={{ width: `${Math.min(100, Math.max(0, (of / full) * 100))}%` }} /></span>
}

export function Evidence({ risk, features }: Known) {
  const tests = [...features.values()].filter(of => of.unit === 'powers of ten' && of.name.startsWith('evidence.') && of.name !== 'evidence.total')
    .map(of => ({ of, power: risk.features[of.name] ?? null, seen: risk.features[`${of.name}_seen`], expected: risk.features[`${of.name}_expected`] }))
    .sort((a, b) => (b.power ?? -1) - (a.power ?? -1) || (b.seen ?? 0) - (a.seen ?? 0))
  const total = risk.features['evidence.total']
  return (
    <Panel title="Evidence by test" note="beside what peers would have brought">
      {tests.length === 0 ? <Empty title="No tests run" /> : <>
        {total !== null && total !== undefined && <p class="pad">All tests together: {oddsInWords(total)}. <span class="quiet">Odds grow over days: what a single day brings counts little, however much it is.</span></p>}
        <div class="scroll-x" tabIndex={0} role="region" aria-label="Evidence by test, table">
          <table class="plain-table">
            <thead><tr><th scope="col">Test</th><th scope="col" class="num">Seen</th><th scope="col" class="num">Expected</th><th scope="col" class="num" title="10^x: chance alone passes it at most once in 10^x supplier-days">Odds</th></tr></thead>
            <tbody>{tests.map(({ of, power, seen, expected }) => (
              <tr key={of.name} title={power !== null && power > 0 ? oddsInWords(power) : undefined}>
                <td>{of.counted ?? of.meaning} <Vouched by={whoVouches(of)} /><Bar of={power ?? 0} full={FULL} isBad /></td>
                <td class="num">{number(seen)}</td><td class="num">{number(expected)}</td>
                <td class="num">{power === null ? <span class="dim">unknown</span> : power > 0 ? inUnits(of, power) : <span class="dim">none</span>}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      </>}
    </Panel>
  )
}

const CLAIMED = ['disputes.buyers_7d', 'claims.count_7d', 'claims.buyers_7d', 'claims.suspect_7d', 'reviews.low_30d', 'claims.buyers_30d']
const HANDED_OVER = ['orders.count_30d', 'shipped.count_30d', 'late.count_30d', 'orders.overdue_30d', 'orders.undelivered_30d', 'cancellations.count_30d', 'frauds.count_30d']

function Side({ title, names, risk, features }: Known & { title: string; names: string[] }) {
  const known = names.filter(name => name in risk.features)
  return (
    <div>
      <h3 class="pad">{title}</h3>
      <table class="plain-table"><tbody>{known.map(name => <tr key={name}><td>{meaningOf(features.get(name), name)}</td><td class="num">{inUnits(features.get(name), risk.features[name])}</td></tr>)}</tbody></table>
    </div>
  )
}

export function Claims(known: Known) {
  return (
    <Panel title="Claims against hand-overs">
      <div class="halves"><Side title="What people say" names={CLAIMED} {...known} /><Side title="What is attested" names={HANDED_OVER} {...known} /></div>
    </Panel>
  )
}

export function Contributions({ risk, features }: Known) {
  const rows = [...risk.contributions].sort((a, b) => b.points - a.points || b.of - a.of)
  return (
    <Panel title="What the score is made of" note={`${number(risk.score)} of 1,000 points`}>
      <table class="plain-table">
        <thead><tr><th scope="col">Feature</th><th scope="col" class="num">Seen</th><th scope="col" class="num">Points</th></tr></thead>
        <tbody>{rows.map(of => (
          <tr key={of.feature}>
            <td>{meaningOf(features.get(of.feature), of.feature)}<Bar of={of.points} full={of.of} /></td>
            <td class="num">{inUnits(features.get(of.feature), of.value)}</td><td class="num">{number(of.points)}<span class="unit"> of {number(of.of)}</span></td>
          </tr>
        ))}</tbody>
      </table>
    </Panel>
  )
}

export function Windows({ risk, features }: Known) {
  const bound = Object.keys(risk.features).map(name => features.get(name)).filter((of): of is Feature => !!of?.window)
  const measures = [...new Set(bound.map(of => of.window!.measure))]
  return (
    <details class="panel">
      <summary><h2>Windows</h2><span class="quiet">{count(bound.length)} of {count(measures.length)} measures</span></summary>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Windows, table">
        <table class="plain-table">
          <thead><tr><th scope="col">Measure</th><th scope="col">Window</th><th scope="col">Read as</th><th scope="col" class="num">Value</th></tr></thead>
          <tbody>{bound.map(of => <tr key={of.name} title={of.meaning}><td class="mono">{of.window!.measure}</td><td>{windowName(of.window!.window_ms)}</td><td>{of.window!.take.replaceAll('_', ' ')}</td><td class="num">{inUnits(of, risk.features[of.name])}</td></tr>)}</tbody>
        </table>
      </div>
    </details>
  )
}

interface Edge { attribute: { kind: AttributeKind; hash: string }; other: string; at: string; withheld: boolean; degree: number; evidence: number }

const SHARED: Record<AttributeKind, string> = { payout: 'the same payout account', device: 'the same device', address: 'the same address', tax_id: 'the same tax number' }

/** The edges as the API tells them, which describes them loosely; what is no edge is left out. */
function edgesOf(links: unknown): Edge[] {
  const list = Array.isArray(links) ? links : []
  return list.filter((of): of is Edge => typeof of?.other === 'string' && typeof of?.attribute?.kind === 'string')
}

export function Links({ risk }: { risk: Risk }) {
  const edges = edgesOf(risk.links).sort((a, b) => Number(b.withheld) - Number(a.withheld) || b.evidence - a.evidence)
  return (
    <Panel title="Links" note="whom it shares something with">
      {edges.length === 0 ? <Empty title="It shares nothing with anybody"><p>Nobody else was seen with its payout account, device, address or tax number.</p></Empty> : (
        <ul class="held">
          {edges.map(edge => (
            <li key={edge.attribute.kind + edge.attribute.hash + edge.other}>
              <div class="what"><SupplierLink id={edge.other} />{edge.withheld && <span class="badge bad">withheld</span>}</div>
              <div>Both were seen with {SHARED[edge.attribute.kind] ?? edge.attribute.kind} <code title={edge.attribute.hash}>{edge.attribute.hash.slice(0, 10)}…</code>, the other last <Time at={edge.at} />.</div>
              <div class="quiet">{edge.degree <= 2 ? 'Nobody else has it' : `${count(edge.degree)} suppliers have it, so it says less`}; {edge.withheld ? 'the other is withheld, which counts here.' : 'the other is not withheld.'} Against the other: {eValueInWords(edge.evidence ?? 0)}.</div>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}
