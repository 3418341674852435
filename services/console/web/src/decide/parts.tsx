// What explains a restriction wherever one is shown: values with who vouches for them, odds in words, what would have had to differ.
import type { Counterfactual, Feature, Restriction, VouchedBy } from '../api-types'
import { number } from '../format'

const words = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
import { RuleLink } from '../links'
import { Empty } from '../ui/states'
import { inUnits, meaningOf, oddsInWords, VOUCHED, whoVouches } from './features'

export function Vouched({ by }: { by: string }) {
  return <span class={`badge ${by === 'attested' ? 'good' : by === 'claimed' ? 'warn' : ''}`} title={VOUCHED[by]}>{by}</span>
}

/** A rule, or the person whose decision it is. */
export function Origin({ of }: { of: Pick<Restriction, 'rule' | 'actor'> }) {
  return of.rule ? <RuleLink id={of.rule.id} /> : <>{of.actor ?? 'a person'}</>
}

/** Each value that a rule read, in words, with who vouches for it. */
export function Values({ of, features, only }: { of: Record<string, number>; features: Map<string, Feature>; only?: VouchedBy }) {
  const rows = Object.entries(of).filter(([name]) => !only || whoVouches(features.get(name)) === only)
  if (rows.length === 0) return <Empty title={only ? `Nothing of it is ${only}` : 'No value was read'}><p>{only ? 'The rule read nothing that somebody beside the buyer attests.' : 'A person decided it.'}</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Values that were read, table">
      <table class="plain-table">
        <thead><tr><th scope="col">What was read</th><th scope="col" class="num">Seen</th></tr></thead>
        <tbody>{rows.map(([name, value]) => {
          const feature = features.get(name)
          return (
            <tr key={name}>
              <td>{meaningOf(feature, name)}<div class="quiet named"><Vouched by={whoVouches(feature)} /> <span class="mono">{name}</span></div>{feature?.unit === 'powers of ten' && <div class="quiet">{oddsInWords(value)}</div>}</td>
              <td class="num">{inUnits(feature, value)}</td>
            </tr>
          )
        })}</tbody>
      </table>
    </div>
  )
}

/** What would have had to differ for the rule to say something else. */
export function Counterfactuals({ of, features }: { of: Counterfactual[]; features: Map<string, Feature> }) {
  if (of.length === 0) return <Empty title="Nothing is kept of it"><p>Decisions of people, and rules without bounds on numbers, have none.</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="What would have had to differ, table">
      <table class="plain-table">
        <thead><tr><th scope="col">If this had been other</th><th scope="col" class="num">Seen</th><th scope="col" class="num">Needed</th><th scope="col">That alone</th></tr></thead>
        <tbody>{of.map((one, at) => (
          <tr key={at}>
            <td>{meaningOf(features.get(one.feature), one.feature)}<div class="quiet mono">{one.feature} {one.test}</div></td>
            <td class="num">{inUnits(features.get(one.feature), one.seen)}</td>
            <td class="num" title={number(one.needed)}>{inUnits(features.get(one.feature), one.needed)}</td>
            <td class="nowrap">{one.decides ? <span class="badge good">lifts it</span> : <span class="dim">is not enough</span>}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  )
}

/** The odds that a restriction rests on, as a sentence for each test. */
export function Odds({ values, features }: { values: Record<string, number>; features: Map<string, Feature> }) {
  const tests = Object.entries(values).filter(([name]) => features.get(name)?.unit === 'powers of ten')
  if (tests.length === 0) return null
  return (
    <div class="odds">
      {tests.map(([name, power]) => {
        const feature = features.get(name)
        const seen = values[`${name}_seen`]
        const expected = values[`${name}_expected`]
        return <p key={name}>{words(feature?.counted ?? name)}{seen !== undefined && expected !== undefined && <>, {number(seen)} where peers' orders of this age bring {number(expected)}</>}: {oddsInWords(power)}.</p>
      })}
    </div>
  )
}
