// Changing rule sets as text, without a browser.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { build } from 'esbuild'

async function load(path) {
  const { outputFiles } = await build({ entryPoints: [new URL(path, import.meta.url).pathname], bundle: true, write: false, format: 'esm', jsx: 'automatic', jsxImportSource: 'preact', logLevel: 'silent' })
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`)
}
const { merge, withExample, withKey } = await load('../src/pages/rules-text.ts')
const { diffLines } = await load('../src/ui/diff.tsx')

const SET = `# a set
rules:
  - id: one
    when: a.b > 1 # id: two
    mode: live
    examples:
      - name: first
        given: { a.b: 2 }
        expect: 'true'

  # about two
  - title: Two
    id: "two"
    mode: shadow
    notes: >-
      mode: is not a key here
`

test('a key is changed where it stands, and nothing else', () => {
  assert.equal(withKey(SET, 'two', 'mode', 'live'), SET.replace('mode: shadow', 'mode: live'))
  assert.equal(withKey(SET, 'one', 'canary_percent', '10'), SET.replace("expect: 'true'\n", "expect: 'true'\n    canary_percent: 10\n"))
  assert.equal(withKey(SET, 'three', 'mode', 'live'), undefined)
})

test('an example goes behind those that are there, or begins them', () => {
  const example = { name: 'like "s"', given: { 'a.b': 3, 'a.c("7d")': 1 }, expect: 'false' }
  const lines = `      - name: "like \\"s\\""\n        given: { a.b: 3, "a.c(\\"7d\\")": 1 }\n        expect: 'false'\n`
  assert.equal(withExample(SET, 'one', example), SET.replace("expect: 'true'\n", `expect: 'true'\n${lines}`))
  assert.equal(withExample(SET, 'two', example), `${SET}    examples:\n${lines}`)
  assert.equal(withExample(SET.replace('mode: shadow', 'examples: []'), 'two', example), SET.replace('    mode: shadow\n', `    examples:\n${lines}`))
  const flush = SET.replace('      - name', '    - name').replace('        given', '      given').replace('        expect', '      expect')
  assert.match(withExample(flush, 'one', example), /expect: 'true'\n    - name: "like/, 'as far in as those that are there')
})

test('changes in different places are merged, in the same place both are shown', () => {
  const mine = SET.replace('a.b > 1', 'a.b > 2')
  const theirs = SET.replace('mode: shadow', 'mode: off')
  assert.deepEqual(merge(SET, mine, theirs), { text: mine.replace('mode: shadow', 'mode: off'), conflicts: 0 })
  assert.deepEqual(merge(SET, mine, mine), { text: mine, conflicts: 0 })
  assert.deepEqual(merge(SET, SET, theirs), { text: theirs, conflicts: 0 })
  const both = merge(SET, mine, SET.replace('a.b > 1', 'a.b > 3'))
  assert.equal(both.conflicts, 1)
  assert.match(both.text, /<<<<<<< yours\n.*a\.b > 2.*\n=======\n.*a\.b > 3.*\n>>>>>>> in force/)
  assert.equal(merge('', 'a\n', 'b\n').conflicts, 1)
})

test('a difference is made of both texts, whatever they are, and of large ones too', () => {
  let seed = 7
  const random = below => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
  for (let round = 0; round < 200; round++) {
    const text = () => Array.from({ length: random(12) }, () => 'abc'[random(3)]).join('\n')
    const [before, after] = [text(), text()]
    const all = diffLines(before, after)
    const merged = merge(before, after, before)
    assert.deepEqual(merged, { text: after, conflicts: 0 })
    if (before === after) continue
    const count = (kinds, text) => text.split('\n').length - all.filter(line => kinds.includes(line.kind)).length - all.filter(line => line.kind === 'skip').reduce((sum, line) => sum + Number.parseInt(line.text, 10), 0)
    assert.equal(count(['same', 'del'], before), 0)
    assert.equal(count(['same', 'add'], after), 0)
  }
  const large = Array.from({ length: 30_000 }, (_, at) => `line ${at}`)
  const changed = [...large]
  changed[15_000] = 'other'
  assert.equal(diffLines(large.join('\n'), changed.join('\n')).filter(line => line.kind === 'add').length, 1)
  assert.equal(diffLines(large.join('\n'), [...large].reverse().join('\n')).length > 0, true)
})
