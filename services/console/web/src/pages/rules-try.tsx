// Trying what is being written: on a supplier as it is now, or on values that somebody thinks up. Either can be kept as an example.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, post } from '../api'
import type { Feature, RuleExplained, RuleSpec, RulesExplained, Truth } from '../api-types'
import { useLast } from '../fetching'
import { number } from '../format'
import { query, setQuery } from '../router'
import { SelectField, TextField } from '../ui/field'
import { Notice, Panel, Segments } from '../ui/states'
import { toast } from '../ui/toast'
import { ConditionTree } from '../ui/tree'
import { checkRules, faultsOf, featuresInForce } from './rules-draft'
import { TruthBadge } from './rules-parts'
import { withExample } from './rules-text'

const TRIED = 'tried on the page'

/** What a rule says of values: an example that expects the unknown is turned down with what comes out and why. */
async function evaluate(text: string, rule: string, given: Record<string, number>): Promise<{ truth: Truth; tree: string[] }> {
  for (const expect of ['unknown', 'true'] as const) {
    const tried = withExample(text, rule, { name: TRIED, given, expect })
    if (!tried) throw new ApiError(0, 'not_found', 'The rule is not found', 'Write it in block style, one key on each line, to try values on it.')
    try {
      await checkRules(tried)
    } catch (error) {
      const fault = error instanceof ApiError ? faultsOf(error).find(of => of.detail.includes(`"${TRIED}"`)) : undefined
      const said = /but the rule says (\w+):\n([\s\S]*)$/.exec(fault?.detail ?? '')
      if (!said) throw error
      return { truth: said[1]!.toLowerCase() as Truth, tree: said[2]!.split('\n') }
    }
  }
  return { truth: 'unknown', tree: [] }
}

function Counterfactuals({ of }: { of: RuleExplained }) {
  const decisive = of.counterfactuals.filter(one => one.decides)
  if (decisive.length === 0) return null
  return <ul class="plain-list">{decisive.map((one, at) => <li key={at} class="quiet">It would come out otherwise with <code>{one.feature}</code> at {number(one.needed)}{one.seen === null ? '' : ` instead of ${number(one.seen)}`}</li>)}</ul>
}

interface TryProps { text: string; rules: RuleSpec[]; onText: (text: string) => void }

function Keep({ text, rule, given, expect, onText }: { text: string; rule: string; given: Record<string, number>; expect: Truth; onText: (text: string) => void }) {
  const keep = () => {
    const next = withExample(text, rule, { name: `kept ${new Date().toISOString().slice(0, 16)}`, given, expect })
    if (!next) return toast('The rule was not found in the text.', { isBad: true })
    onText(next)
    toast(`Kept as an example of ${rule}; give it a name that says what it shows.`)
  }
  return <button type="button" class="btn small" onClick={keep}>Keep as an example</button>
}

function OnSupplier({ text, rules, rule, onText }: TryProps & { rule: string }) {
  const [supplier, setSupplier] = useState(query.value.get('supplier') ?? '')
  const [said, setSaid] = useState<RulesExplained | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const begin = useLast()
  const ask = (event: Event) => {
    event.preventDefault()
    setQuery({ supplier }, { replace: true })
    const isLast = begin()
    post<RulesExplained>('/v1/rules:explain', { supplier, source: text, ...(rule ? { rule } : {}) }).then(
      ({ data }) => { if (isLast()) { setSaid(data); setError(null) } }, (failed: ApiError) => { if (isLast()) { setError(failed); setSaid(null) } })
  }
  const shown = said && [...said.rules].sort((a, b) => Number(b.truth === 'true') - Number(a.truth === 'true'))
  return (
    <>
      <form class="try-form" onSubmit={ask}>
        <TextField name="supplier" label="Supplier" value={supplier} onInput={setSupplier} placeholder="its id" error={error?.field('supplier')} />
        <button type="submit" class="btn" disabled={!supplier}>Try</button>
      </form>
      {error && !error.field('supplier') && <Notice kind="high">{error.title}: {error.detail}</Notice>}
      <div class="try-said" aria-live="polite">
        {shown?.map(of => (
          <details key={of.rule} open={of.truth === 'true' || shown.length === 1}>
            <summary><span class="mono">{of.rule}</span> <TruthBadge of={of.truth} /></summary>
            <ConditionTree lines={of.tree} /><Counterfactuals of={of} />
            {rules.some(one => one.id === of.rule) && <Keep text={text} rule={of.rule} given={of.values} expect={of.truth} onText={onText} />}
          </details>
        ))}
      </div>
    </>
  )
}

function OnValues({ text, rules, rule, onText }: TryProps & { rule: string }) {
  const [features, setFeatures] = useState<Feature[]>([])
  useEffect(() => { featuresInForce().then(of => setFeatures(of.features), () => undefined) }, [])
  const [values, setValues] = useState<Record<string, string>>({})
  const [said, setSaid] = useState<{ truth: Truth; tree: string[] } | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const spec = rules.find(of => of.id === rule)
  const begin = useLast()
  /** Of other values, or of another text, what was said and what is still asked for says nothing. */
  const forget = () => { begin(); setSaid(null) }
  useEffect(forget, [rule, text])
  if (!spec) return <p class="quiet">Choose a rule to try values on.</p>
  const known = new Map(features.map(of => [of.name, of]))
  const named = [...`${spec.when} ${spec.false_alarms ? spec.evidence : ''}`.matchAll(/[a-z_]\w*\.\w+(?:\("[^"]*"\))?/g)].map(of => of[0])
  const read = [...new Set([...named, ...(spec.examples ?? []).flatMap(of => Object.keys(of.given))])].filter(name => known.has(name) || name.includes('('))
  const given = Object.fromEntries(read.filter(name => values[name]).map(name => [name, Number(values[name])]))
  const ask = (event: Event) => {
    event.preventDefault()
    const isLast = begin()
    evaluate(text, rule, given).then(
      of => { if (isLast()) { setSaid(of); setError(null) } }, (failed: ApiError) => { if (isLast()) { setError(failed); setSaid(null) } })
  }
  return (
    <form onSubmit={ask}>
      <div class="try-values">
        {read.map(name => <TextField key={name} name={`value-${name}`} label={name} type="text" value={values[name] ?? ''} placeholder="unknown" hint={known.get(name)?.unit}
          error={values[name] && !Number.isFinite(Number(values[name])) ? 'A number, or nothing for unknown' : undefined} onInput={value => { setValues(was => ({ ...was, [name]: value })); forget() }} />)}
      </div>
      {read.length === 0 && <p class="quiet">It reads nothing that has a name of its own.</p>}
      <button type="submit" class="btn" disabled={Object.values(given).some(value => !Number.isFinite(value))}>Try</button>
      {error && <Notice kind="high">{error.title}: {error.detail}</Notice>}
      <div class="try-said" aria-live="polite">
        {said && <><p><span class="mono">{rule}</span> <TruthBadge of={said.truth} /></p><ConditionTree lines={said.tree} /><Keep text={text} rule={rule} given={given} expect={said.truth} onText={onText} /></>}
      </div>
    </form>
  )
}

export function Try(props: TryProps) {
  const on = query.value.get('try') === 'values' ? 'values' : 'supplier'
  const rule = query.value.get('rule') ?? ''
  return (
    <Panel title="Try it" note="nothing changes" class="try">
      <div class="body">
        <Segments label="Try on" value={on} options={[['supplier', 'A supplier'], ['values', 'Values']]} onChange={value => setQuery({ try: value === 'supplier' ? null : value })} />
        <SelectField name="try-rule" label="Rule" value={rule} onChange={value => setQuery({ rule: value })} options={[['', on === 'supplier' ? 'all rules' : 'choose one'], ...props.rules.map(of => [of.id, of.id] as [string, string])]} />
        {on === 'supplier' ? <OnSupplier {...props} rule={rule} /> : <OnValues {...props} rule={rule} />}
      </div>
    </Panel>
  )
}
