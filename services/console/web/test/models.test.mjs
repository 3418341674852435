// Models on live orders: what was predicted beside what became of it, counted by a real server from events of weeks ago.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { closeBrowser, person, serve, SHOTS } from './harness.mjs'
import { looks, until } from './scene.mjs'

const DAY_MS = 86_400_000
/** Suppliers by age in days, each with the orders that were placed of it and those that went bad. */
const SUPPLIERS = [['s-young', 5, 60, 31], ['s-mid', 50, 80, 12], ['s-old', 500, 120, 4], ['s-oldest', 5_000, 240, 0]]

let server
let keys
before(async () => {
  server = await serve()
  keys = { operator: await server.key('operator', 'op'), orders: await server.key('order-system', 'orders') }
  for (const [id, age] of SUPPLIERS) {
    await server.call(keys.operator, 'PUT', `/v1/suppliers/${id}`, { name: id, region: 'DE', since: new Date(Date.now() - age * DAY_MS).toISOString() })
  }
})
after(async () => {
  await closeBrowser()
  await server?.stop()
  console.log(`screenshots: ${SHOTS}`)
})

/** A model that goes by a supplier's age alone: what it says of each of those above, youngest first. */
function model(chances) {
  const adds = chances.map(chance => Math.log(chance / (1 - chance)))
  return {
    kind: 'boosted_stumps/1', base: 0, calibration: [1, 0],
    tables: [{ feature: 'supplier.age_days', cuts: [10, 100, 1_000], adds, unknown: 0, shares: [0.25, 0.25, 0.25, 0.25, 0] }],
    score: { feature: 'score', cuts: [10], adds: [0, 0], unknown: 0, shares: [0.5, 0.5, 0] },
    origin: { data: 'ab'.repeat(32), features: 'f', label_delay: '30d', from: '2026-01-01T00:00:00Z', until: '2026-06-01T00:00:00Z', orders: 40_000, bad: 900 },
    held_out: { orders: 10_000, bad: 220, average_precision: 0.31, auc: 0.8, log_loss: 0.08, expected_to_seen: 1.02 },
  }
}

/** Sends what happened to orders, so many days ago. */
async function send(kind, orders, days) {
  const time = new Date(Date.now() - days * DAY_MS).toISOString()
  const events = orders.map(([supplier, order]) => ({
    specversion: '1.0', id: `${order}-${kind}`, source: 'test', type: `stockade.order.${kind}`, time, data: { supplier, order, buyer: `b-${order}` },
  }))
  for (let at = 0; at < events.length; at += 100) {
    const answer = await fetch(`${server.url}/v1/events`, {
      method: 'POST', headers: { authorization: `Bearer ${keys.orders}`, 'content-type': 'application/cloudevents-batch+json' }, body: JSON.stringify(events.slice(at, at + 100)),
    })
    assert.ok(answer.ok, await answer.text())
  }
}
const ordersOf = (prefix, [supplier, , count]) => Array.from({ length: count }, (_, at) => [supplier, `${prefix}-${supplier}-${at}`])

test('predictions are drawn beside the frauds that were confirmed of them, once orders are old enough, and the table is of the same array', async () => {
  const who = await person()
  const page = await who.signIn(await server.link('operator', 'olga'))
  await server.call(keys.operator, 'POST', '/v1/models', model([0.5, 0.15, 0.03, 0.002]))
  await server.call(keys.operator, 'POST', '/v1/models:promote')
  await page.goto(`${server.url}/console/models`)
  const panel = page.getByRole('region', { name: 'Calibration on live orders', exact: true })
  await panel.getByText('No order has shown its outcome yet').waitFor()
  await panel.getByText('None was predicted so far').waitFor()
  await server.call(keys.operator, 'POST', '/v1/models', model([0.3, 0.02, 0.05, 0.0005]))
  await send('placed', ordersOf('new', SUPPLIERS[0]), 0)
  await panel.getByText(/60 predicted orders wait; the first are counted on \d+ \w+/).waitFor()
  await looks(page, 'models-calibration-waits', panel)

  for (const of of SUPPLIERS) {
    const orders = ordersOf('then', of)
    await send('placed', orders, 60)
    await send('fraud_confirmed', orders.slice(0, of[3]), 0)
  }
  const all = SUPPLIERS.reduce((sum, [, , count]) => sum + count, 0)
  const told = await until(page, async () => {
    const models = await server.call(keys.operator, 'GET', '/v1/models')
    return models.champion.calibration.orders === all && models.champion.calibration.bad === 47 && models
  })
  await panel.getByText(`${all} orders placed`).first().waitFor()
  await panel.getByRole('img', { name: /Champion 50 %: 51\.7 %/ }).waitFor()
  await panel.locator('svg circle').nth(3).waitFor({ state: 'attached' })
  await looks(page, 'models-calibration', panel)
  await panel.getByRole('button', { name: 'Calibration on orders as a table' }).click()
  const rows = panel.getByRole('table').locator('tbody tr')
  const drawn = ['champion', 'challenger'].flatMap(place => told[place].calibration.bins.filter(bin => bin.orders > 0))
  assert.equal(await rows.count(), drawn.length, 'a row of each group that has orders')
  assert.deepEqual(await rows.locator('td:nth-child(3)').allTextContents(), drawn.map(bin => String(bin.orders)))
  assert.deepEqual(await rows.locator('td:nth-child(4)').allTextContents(), drawn.map(bin => String(bin.bad)))
  await panel.getByRole('row', { name: /Champion.*as predicted/ }).first().waitFor()
  await panel.getByRole('row', { name: /Challenger.*more than predicted/ }).first().waitFor()
  await looks(page, 'models-calibration-table', panel)
  await who.done()
})

test('where scoring runs in another process, the page says so', async () => {
  const who = await person()
  const page = await who.signIn(await server.link('operator', 'olga'))
  await page.route('**/v1/models', async route => {
    const models = await (await route.fetch()).json()
    for (const place of ['champion', 'challenger']) models[place] = { ...models[place], calibration: null }
    await route.fulfill({ json: models })
  })
  await page.goto(`${server.url}/console/models`)
  await page.getByRole('region', { name: 'Calibration on live orders', exact: true }).getByText('Not known here').waitFor()
  // The page asks again and again, and its last question may be on its way.
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await who.done()
})
