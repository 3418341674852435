// Rules, backtests and models in a real browser, against a real server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { closeBrowser, person, serve, shot, SHOTS } from './harness.mjs'
import { looks } from './scene.mjs'

const RULE = `
  - id: two-cancelled
    title: "<b id=evil>Two are enough</b>"
    when: cancellations.count_7d >= 2
    floor: attested
    evidence: cancellations.count_7d
    level: quarantine
    for: 1h
    reasons: [DEFECT_RATE]
    mode: live
    owner: test
    notes: for a test
`
/** A browser notes each refusal of the checker, of an old tag and of what is not there. */
const REFUSALS = [/4(12|22)/]

let server
let keys
before(async () => {
  server = await serve()
  keys = { operator: await server.key('operator', 'op'), orders: await server.key('order-system', 'orders'), buyer: await server.key('buyer', 'buyer') }
  for (const id of ['s-cut', 's-fine']) {
    await server.call(keys.operator, 'PUT', `/v1/suppliers/${id}`, { name: id, region: 'DE', since: '2020-01-01T00:00:00Z' })
    const own = await server.key('supplier', id, id)
    await server.call(own, 'PUT', `/v1/suppliers/${id}/locations/main`, { latitude: 52.5, longitude: 13.4, region: 'DE', handling_days: 2 })
    await server.call(own, 'PUT', `/v1/suppliers/${id}/listings/SKU-1`, { sku: 'SKU-1', location: 'main', price: { minor: 1000, currency: 'EUR' }, on_hand: 10 })
  }
  await cancelled(0)
  await cancelled(1)
})
after(async () => {
  await closeBrowser()
  await server?.stop()
  console.log(`screenshots: ${SHOTS}`)
})

async function cancelled(order) {
  for (const [kind, cause] of [['placed'], ['cancelled', 'supplier']]) {
    const data = { supplier: 's-cut', order: `o-${order}`, buyer: `b-${order}`, cause }
    await server.call(keys.orders, 'POST', '/v1/events', { specversion: '1.0', id: `${order}-${kind}`, source: 'test', type: `stockade.order.${kind}`, data })
  }
}

/** Suppliers whose offers a buyer is shown. */
const seen = async () => (await server.call(keys.buyer, 'GET', '/v1/availability?sku=SKU-1')).offers.map(of => of.supplier).sort()
async function until(what, holds) {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return
    await new Promise(done => setTimeout(done, 50))
  }
  throw new Error(`it did not come to this: ${what}`)
}
const inForce = () => server.call(keys.operator, 'GET', '/v1/rules')
/** What somebody else does by the API. */
async function publish(source) {
  const { version } = await inForce()
  const answer = await fetch(`${server.url}/v1/rules?note=theirs`, { method: 'PUT', headers: { authorization: `Bearer ${keys.operator}`, 'content-type': 'application/yaml', 'if-match': `"${version}"` }, body: source })
  assert.equal(answer.status, 200, await answer.text())
}

async function openEditor(page) {
  await page.goto(`${server.url}/console/rules/edit`)
  await page.locator('.cm-content').waitFor()
  await page.getByText('are fine').waitFor()
}
async function atEnd(page) {
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+End')
}
const checker = page => page.getByRole('status', { name: 'What the checker says' })

test('the editor shows a type error at its column, and completes the name of a feature', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await openEditor(page)
  await atEnd(page)
  await page.keyboard.insertText(RULE.replace('>= 2', '>= true'))
  await checker(page).getByText('1 error').waitFor()
  const typed = await page.evaluate(() => JSON.parse(sessionStorage.getItem('stockade.rules.ada')).text)
  const line = typed.split('\n').findIndex(text => text.includes('cancellations.count_7d >= true')) + 1
  await checker(page).getByText(new RegExp(`^${line}:\\d+$`)).waitFor()
  const [, column] = (await checker(page).getByText(new RegExp(`^${line}:`)).textContent()).split(':').map(Number)
  const written = '    when: cancellations.count_7d >= true'
  assert.ok(column > written.indexOf('cancellations') && column <= written.length, `column ${column} is in the condition`)
  const marked = await page.locator('.cm-lintRange-error').first().textContent()
  assert.ok(written.slice(column - 1).startsWith(marked) && marked.length > 0, `"${marked}" is marked, from the column ${column}`)
  assert.equal(await page.getByRole('button', { name: 'Publish…' }).isDisabled(), true)
  await shot(page, 'rules-edit-error-wide-light')
  await page.keyboard.insertText('    cure: ')
  await page.keyboard.type('cancellations.cou')
  await page.locator('.cm-tooltip-autocomplete').getByText('cancellations.count_7d', { exact: true }).click()
  await until('the name is completed', async () => (await page.locator('.cm-line').last().textContent()).includes('cure: cancellations.count_7d'))
  // What is typed outlasts the page.
  await page.reload()
  await page.getByTestId('base').waitFor()
  await page.getByText(/lines? changed/).waitFor()
  await page.getByRole('button', { name: 'Discard' }).click()
  await page.getByRole('button', { name: /^Discard \d/ }).click()
  await page.getByText('are fine').waitFor()
  await who.done()
})

test('a set that is being written is tried on the past, on a supplier and on values, and what was seen is kept as an example', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await openEditor(page)
  await atEnd(page)
  await page.keyboard.insertText(RULE)
  await page.getByText('are fine').waitFor()
  await page.getByText(/lines? changed/).waitFor()
  const tried = page.getByRole('region', { name: 'Try it' })
  await until('the new rule can be tried', async () => (await tried.getByLabel('Rule').locator('option').allTextContents()).includes('two-cancelled'))
  await tried.getByLabel('Rule').selectOption('two-cancelled')
  await tried.getByLabel('Supplier').fill('s-cut')
  await tried.getByRole('button', { name: 'Try' }).click()
  await tried.locator('summary').filter({ hasText: 'holds' }).waitFor()
  await tried.getByRole('button', { name: 'Values' }).click()
  await tried.getByLabel('cancellations.count_7d').fill('1')
  await tried.getByRole('button', { name: 'Try' }).click()
  await tried.getByText('does not hold').waitFor()
  await tried.getByRole('button', { name: 'Keep as an example' }).click()
  await page.getByText('Kept as an example of two-cancelled').waitFor()
  await page.getByText('are fine').waitFor()
  await page.getByRole('button', { name: 'What it would do' }).click()
  const row = page.getByRole('region', { name: 'What it would do, table' }).getByRole('row', { name: /two-cancelled/ })
  await row.waitFor()
  assert.match(await row.textContent(), /\+1/)
  await page.getByRole('button', { name: 'Changes' }).click()
  await page.getByRole('table', { name: 'Differences' }).getByText('id: two-cancelled').waitFor()
  await shot(page, 'rules-changes-wide-light')

  await page.getByRole('link', { name: 'Backtest' }).last().click()
  await page.getByRole('button', { name: 'Begin' }).click()
  await page.getByTestId('state').filter({ hasText: 'done' }).waitFor()
  await page.getByRole('button', { name: 'two-cancelled', exact: true }).click()
  const strip = page.getByRole('group', { name: 'Figures of the backtest' })
  assert.match(await strip.locator('.figure').filter({ hasText: 'Newly withheld' }).textContent(), /1 suppliers/)
  const whom = page.getByRole('region', { name: 'Suppliers it would have hit, table' })
  await whom.getByText('s-cut').waitFor()
  const drawn = page.getByRole('img', { name: /cancellations.count_7d >= 2/ })
  const saying = await drawn.getAttribute('aria-label')
  await page.getByRole('button', { name: 'Other bounds as a table' }).click()
  const cells = await page.getByRole('region', { name: 'Other bounds, table' }).locator('tbody tr').evaluateAll(rows => rows.map(row => [1, 2].map(at => row.cells[at].firstChild.textContent).join(': ')))
  assert.deepEqual(cells, saying.split(/: (.*)/s)[1].split(', '), 'the table is of the array that is drawn')
  await page.getByRole('button', { name: 'Other bounds as a table' }).click()
  await whom.getByRole('button', { name: 'Save s-cut as an example' }).click()
  await page.getByText('Kept as an example in what you are writing').waitFor()
  assert.match(await page.evaluate(() => sessionStorage.getItem('stockade.rules.ada')), /like s-cut/)
  await looks(page, 'backtest-report')
  await who.done()
})

test('a backtest that runs shows how far it is and can be ended', async () => {
  const who = await person()
  const page = await who.signIn(await server.link('analyst', 'ada'))
  let isEnded = false
  // As if the past were long: the server's own answer comes once the page has asked for the end.
  await page.route('**/v1/backtests/*', async route => {
    if (route.request().method() === 'DELETE') isEnded = true
    if (isEnded) return route.continue()
    const answer = await route.fetch()
    return route.fulfill({ json: { ...await answer.json(), state: 'running', records: 100, records_done: 25, report: null } })
  })
  await page.goto(`${server.url}/console/backtest`)
  await page.getByRole('button', { name: 'Begin' }).click()
  await page.getByText('25 of 100 records').waitFor()
  await shot(page, 'backtest-running')
  const asked = page.waitForResponse(answer => answer.request().method() === 'DELETE')
  await page.getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await asked).status(), 202)
  await page.getByTestId('state').filter({ hasText: /done|cancelled/ }).waitFor()
  await who.done()
})

test('a rule that is published withholds a supplier from buyers, a second tab sees it, and rolling back is possible', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('operator', 'olga'))
  const before = (await inForce()).version
  const second = await who.page()
  await second.goto(`${server.url}/console/rules`)
  await second.getByTestId('version').filter({ hasText: before }).waitFor()
  assert.deepEqual(await seen(), ['s-cut', 's-fine'])
  await openEditor(page)
  await atEnd(page)
  await page.keyboard.insertText(RULE)
  await page.getByRole('button', { name: 'Publish…' }).and(page.locator(':enabled')).click()
  await page.getByLabel('Why, for those who come after').fill('a test of the page')
  await page.getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByRole('heading', { name: 'Rules', exact: true }).waitFor()
  await second.getByRole('link', { name: 'two-cancelled' }).waitFor()
  const { version } = await inForce()
  await second.getByTestId('version').filter({ hasText: version }).waitFor()
  await cancelled(2)
  await until('the offers vanish', async () => (await seen()).join() === 's-fine')
  await page.goto(`${server.url}/console/rule/two-cancelled`)
  await page.getByRole('region', { name: 'How it fared, table' }).waitFor()
  await page.getByText('<b id=evil>Two are enough</b>').waitFor()
  assert.equal(await page.locator('#evil').count(), 0, 'markup is text')
  await looks(page, 'rule')
  await second.getByRole('button', { name: `Compare version ${before}` }).click()
  await second.getByRole('button', { name: 'Roll back to it' }).click()
  await second.getByRole('button', { name: 'Roll back', exact: true }).click()
  await second.getByRole('dialog').getByRole('alert').first().waitFor()
  await second.getByLabel('Reason').fill('it was a test')
  await second.getByRole('button', { name: 'Roll back', exact: true }).click()
  await second.getByTestId('version').filter({ hasText: before }).waitFor()
  assert.equal((await inForce()).version, before)
  await who.done()
})

test('a version that came in between is shown, and merging keeps what both wrote', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('operator', 'olga'))
  await openEditor(page)
  await atEnd(page)
  await page.keyboard.insertText('\n# mine, at the end\n')
  await page.getByRole('button', { name: 'Publish…' }).and(page.locator(':enabled')).click()
  await publish(`# theirs, at the top\n${(await inForce()).source}`)
  await page.getByRole('button', { name: 'Publish', exact: true }).click()
  const dialog = page.getByRole('dialog', { name: 'Another version is in force' })
  await dialog.getByText('# theirs, at the top').waitFor()
  await dialog.getByText('# mine, at the end').waitFor()
  await shot(page, 'rules-stale')
  await dialog.getByRole('button', { name: 'Merge both' }).click()
  await page.locator('.cm-line').first().filter({ hasText: '# theirs, at the top' }).waitFor()
  await page.getByRole('button', { name: 'Publish…' }).and(page.locator(':enabled')).click()
  await page.getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByRole('heading', { name: 'Rules', exact: true }).waitFor()
  const { source } = await inForce()
  assert.ok(source.startsWith('# theirs, at the top') && source.includes('# mine, at the end'))
  await who.done()
})

test('a mode chosen on the page of a rule is written into the set, and a rule is muted for one supplier', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('analyst', 'mia'))
  await page.goto(`${server.url}/console/rule/cancel-rate`)
  await page.getByRole('button', { name: 'Mute for a supplier' }).click()
  await page.getByRole('textbox', { name: 'Supplier' }).fill('s-fine')
  await page.getByLabel('Until').fill('2030-01-01T10:00')
  await page.getByLabel('Reason').fill('a strike at its carrier')
  await page.getByRole('button', { name: 'Mute', exact: true }).click()
  await page.getByText('cancel-rate is mute for s-fine.').waitFor()
  await until('it is audited', async () => (await server.call(keys.operator, 'GET', '/v1/decisions?supplier=s-fine')).decisions.some(of => of.action === 'snoozed'))
  await page.getByLabel('Mode', { exact: true }).selectOption('canary')
  await page.getByText('2 lines changed').or(page.getByText('3 lines changed')).waitFor()
  await page.getByText('are fine').waitFor()
  await page.getByRole('button', { name: 'Changes' }).click()
  await page.getByRole('table', { name: 'Differences' }).getByText('mode: canary').waitFor()
  await page.getByRole('table', { name: 'Differences' }).getByText('canary_percent: 10').waitFor()
  await who.done()
})

test('the kill switch asks why and is seen in a second tab', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('operator', 'olga'))
  const second = await who.page()
  for (const tab of [page, second]) await tab.goto(`${server.url}/console/rules`)
  await second.getByRole('button', { name: 'Kill switch' }).waitFor()
  await page.getByRole('button', { name: 'Kill switch' }).click()
  await page.getByLabel('Reason').fill('a test of the switch')
  await page.getByRole('button', { name: 'Put all in shadow' }).click()
  await second.getByText('The kill switch is on').waitFor()
  await second.getByRole('button', { name: 'Let rules act again' }).click()
  await second.getByLabel('Reason').fill('the test is over')
  await second.getByRole('button', { name: 'Let rules act', exact: true }).click()
  await page.getByRole('button', { name: 'Kill switch' }).waitFor()
  assert.equal((await server.call(keys.operator, 'GET', '/v1/ops/kill-switch')).on, false)
  await who.done()
})

const model = (from, auc) => {
  const table = feature => ({ feature, cuts: [10], adds: [0.1, -0.1], unknown: 0, shares: [0.5, 0.5, 0] })
  return JSON.stringify({
    kind: 'boosted_stumps/1', base: -3, calibration: [1, 0], tables: [table('supplier.age_days')], score: { ...table('score'), adds: [0, 0] },
    origin: { data: 'ab'.repeat(32), features: 'f', label_delay: '30d', from, until: '2026-06-01T00:00:00Z', orders: 40_000, bad: 900 },
    held_out: { orders: 10_000, bad: 220, average_precision: 0.31, auc, log_loss: 0.08, expected_to_seen: 1.02 },
  })
}

test('a model is published, promoted and rolled back, and a second tab sees it', async () => {
  const who = await person({ expected: REFUSALS })
  const page = await who.signIn(await server.link('operator', 'olga'))
  await page.goto(`${server.url}/console/models`)
  await page.getByText('No model was published').waitFor()
  const second = await who.page()
  await second.goto(`${server.url}/console/models`)
  const give = async text => page.getByLabel('A model file').setInputFiles({ name: 'model.json', mimeType: 'application/json', buffer: Buffer.from(text) })
  const versionIn = async name => page.getByRole('region', { name, exact: true }).locator('code').first().textContent()
  await give('{"kind":"no model"}')
  await page.getByRole('alert').filter({ hasText: 'model' }).first().waitFor()
  const promote = async () => {
    await page.getByRole('button', { name: 'Promote' }).and(page.locator(':enabled')).first().click()
    await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click()
    await page.getByText('The challenger is champion now.').first().waitFor()
  }
  await give(model('2026-01-01T00:00:00Z', 0.81))
  await promote()
  const first = await versionIn('Champion')
  await give(model('2026-02-01T00:00:00Z', 0.86))
  await until('the other runs beside it', async () => await page.getByRole('region', { name: 'Challenger', exact: true }).locator('code').count() > 0)
  await page.getByRole('row', { name: /ROC/ }).getByText('better').waitFor()
  await looks(page, 'models-two')
  await promote()
  await until('the other is champion', async () => await versionIn('Champion') !== first)
  await page.getByRole('button', { name: 'Roll back' }).and(page.locator(':enabled')).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click()
  await until('the first is champion again', async () => await versionIn('Champion') === first)
  assert.equal((await server.call(keys.operator, 'GET', '/v1/models')).champion.version, first)
  await second.getByRole('region', { name: 'Champion', exact: true }).getByText(first).waitFor()
  await who.done()
})

// Last: with four eyes on, nothing above would come into force at once.
test('with four eyes a set waits, its author may not approve it, and an approver may', async () => {
  await server.call(keys.operator, 'PUT', '/v1/ops/four-eyes', { on: true, reason: 'a test' })
  const [ada, zoe] = [await person({ expected: REFUSALS }), await person()]
  const page = await ada.signIn(await server.link('analyst', 'ada'))
  await openEditor(page)
  await page.locator('.cm-content').click()
  await page.keyboard.press('Control+Home')
  await page.keyboard.insertText('# for two people\n')
  await page.getByRole('button', { name: 'Publish…' }).and(page.locator(':enabled')).click()
  await page.getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByText('A set by ada waits for approval').waitFor()
  await page.getByRole('button', { name: 'Look at it' }).click()
  await page.getByRole('dialog').getByText('Somebody else has to approve it.').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0)
  await page.keyboard.press('Escape')
  const other = await zoe.signIn(await server.link('approver', 'zoe'))
  await other.goto(`${server.url}/console/rules`)
  await other.getByRole('button', { name: 'Look at it' }).click()
  await other.getByRole('dialog').getByText('# for two people').waitFor()
  await shot(other, 'rules-approve')
  await other.getByRole('button', { name: 'Approve' }).click()
  await other.getByText('is in force.').first().waitFor()
  assert.ok((await inForce()).source.startsWith('# for two people'))
  await page.locator('.cm-line').first().filter({ hasText: '# for two people' }).waitFor()
  await ada.done()
  await zoe.done()
})
