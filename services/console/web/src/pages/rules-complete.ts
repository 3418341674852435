// What may stand at a place of a rule set: keys where a line begins, words where there are few, else features and functions.
import type { Completion, CompletionSource } from '@codemirror/autocomplete'
import type { Feature } from '../api-types'
import { featuresInForce } from './rules-draft'

const KEYS: Record<string, string> = {
  id: 'its name', title: 'one line for people', when: 'the condition', false_alarms: 'how many false alarms are accepted, such as `1 per 100 supplier-years`',
  floor: 'what it rests on without a promise: `attested`', cure: 'the condition under which it ends early', level: 'how hard it bites', scope: 'what it covers',
  for: 'how long, such as `7d`', reasons: 'codes shown to the supplier', text: 'what the supplier is told', evidence: 'the feature whose growth is new evidence',
  mode: 'whether it acts', canary_percent: 'share of suppliers for whom a canary is live', holdout_percent: 'share of hits that are only dimmed',
  budget: 'how much it may withhold', expires: 'from then on it is off', replaces: 'the rule that it is to replace', owner: 'who looks after it',
  notes: 'why it is as it is', examples: 'what must come out as written', name: 'what an example shows', given: 'features that are known', expect: 'what the rule says',
}
const WORDS: Record<string, string[]> = {
  mode: ['off', 'shadow', 'canary', 'live'], level: ['watch', 'limit', 'cap', 'dim', 'quarantine', 'lockout'], scope: ['supplier', 'listing', 'sku'],
  floor: ['attested'], expect: ["'true'", "'false'", "'unknown'"],
}

const told = (of: Feature): Completion => ({ label: of.name, type: 'variable', detail: of.unit, info: of.meaning + (of.attested ? '; attested' : '') })

export const completeRules: CompletionSource = async context => {
  const line = context.state.doc.lineAt(context.pos)
  const before = line.text.slice(0, context.pos - line.from)
  const word = context.matchBefore(/[A-Za-z_][\w.]*/)
  if (!word && !context.explicit) return null
  const from = word?.from ?? context.pos
  const key = /^\s*(?:- )?(\w+):\s*['"]?\w*$/.exec(before)?.[1]
  if (key && WORDS[key]) return { from, options: WORDS[key].map(label => ({ label, type: 'enum' })), validFor: /^\w*$/ }
  const isBeginning = /^\s*(?:- )?\w*$/.test(before)
  const declared = await featuresInForce().catch(() => undefined)
  const options = (declared?.features ?? []).map(told)
  if (isBeginning) options.unshift(...Object.entries(KEYS).map(([label, info]) => ({ label, info, apply: `${label}: `, type: 'property', boost: 20 })))
  return { from, options, validFor: /^[\w.]*$/ }
}
