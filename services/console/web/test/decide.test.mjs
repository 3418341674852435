// Review, bulk release, explain, supplier and impact: what they show, and that what is done there is done on the server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { excessWidth, faults, NARROW, person, shot, WIDE } from './harness.mjs'
import { later, MARKUP, scene, told, until } from './scene.mjs'

let playing
let server
let market
let caught
before(async () => {
  playing = await scene();
  ({ server, market, caught } = playing)
})
after(() => playing?.stop())
const operator = more => playing.operator(more)
const at = (page, path) => playing.at(page, path)
/** Its name and the reason are markup. */
const denied = supplier => playing.denied(supplier, { name: MARKUP, reason: MARKUP })

/** Suppliers in a buyer's answer for a good. */
async function offeredBy(sku) {
  const answer = await fetch(`${market.url}/v1/availability?sku=${encodeURIComponent(sku)}&limit=200`, { headers: { authorization: `Bearer ${market.buyer}` } })
  assert.equal(answer.status, 200)
  return (await answer.json()).offers.map(of => of.supplier)
}

async function say(page, reason, name) {
  await page.getByRole('dialog').getByLabel('Reason').fill(reason)
  await page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
}

test('a supplier locked out in the demo is released from its page, its offers come back to buyers, and undo withholds them again', async () => {
  const who = await operator()
  const page = await who.page()
  await page.goto(`${market.url}/console/suppliers/${caught.supplier}`)
  const other = await who.page()
  await other.goto(`${market.url}/console/decisions/${caught.id}`)
  await other.getByRole('button', { name: /Release/ }).waitFor()
  const { items } = await told(page, `/v1/suppliers/${caught.supplier}/listings?limit=50`)
  const sku = items.find(of => of.available > 0 && !of.withdrawn).sku
  assert.ok(!(await offeredBy(sku)).includes(caught.supplier), 'buyers do not see it')
  await page.getByRole('button', { name: 'Release' }).first().click()
  await say(page, 'the stock was counted: it is there', 'Release')
  await page.getByText(`${caught.supplier}: quarantine released`).waitFor()
  await until(page, async () => (await offeredBy(sku)).includes(caught.supplier))
  // The other tab is told without loading anew.
  await other.getByText('This is no longer in force').waitFor()
  await other.locator('.timeline').getByText('the stock was counted: it is there').waitFor()
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Undone', { exact: true }).waitFor()
  await page.getByRole('region', { name: 'In force' }).getByText('quarantine').waitFor()
  await until(page, async () => !(await offeredBy(sku)).includes(caught.supplier))
  const { in_force } = await told(page, `/v1/suppliers/${caught.supplier}/standing`)
  assert.ok(in_force.some(of => of.level === 'quarantine' && of.reasons.includes('MANUAL_REVIEW')), 'a decision of its own')
  await who.done()
})

test('a decision of a rule is explained by what was read, and snoozing its rule is told to the server and can be undone', async () => {
  const who = await operator()
  const page = await who.page()
  const all = await told(await at(page, '/console/overview'), '/v1/decisions?limit=500')
  const { supplier, restriction } = all.decisions.find(of => of.restriction?.rule && of.restriction.counterfactuals?.length && of.in_force.some(one => one.id === of.restriction.id))
  await at(page, `/console/decisions/${restriction.id}`)
  await page.locator('.tree .node').first().waitFor()
  const [name] = Object.keys(restriction.values)
  await page.getByRole('region', { name: 'Values and who vouches for them' }).getByText(name, { exact: true }).waitFor()
  await page.getByRole('region', { name: 'What would have had to differ', exact: true }).getByText(restriction.counterfactuals[0].test).first().waitFor()
  await page.locator('.timeline').getByText(restriction.cause.id).waitFor()
  await page.keyboard.press('s')
  await say(page, 'known to us', 'Snooze the rule')
  await page.getByText(`${restriction.rule.id} is snoozed for ${supplier}`).waitFor()
  const snoozes = async () => (await told(page, `/v1/decisions?supplier=${supplier}&limit=500`)).decisions.filter(of => of.action === 'snoozed')
  assert.equal((await snoozes())[0].note.endsWith('known to us'), true)
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Undone', { exact: true }).waitFor()
  assert.equal((await snoozes()).length, 2, 'a second snooze, which ends at once, takes the first one\'s place')
  await who.done()
})

test('an appeal is handed over with what its supplier says, another person is told who is at it, and granting it ends the restriction for both', async () => {
  const held = await denied('s-appeals')
  const own = await server.key('supplier', 's-appeals-key', 's-appeals')
  await server.call(own, 'POST', '/v1/suppliers/s-appeals/appeals', { decision: held.id, text: `We shipped all of it. ${MARKUP}` })
  const ada = await person({ expected: [/404/, /422/] })
  const bob = await person({ expected: [/404/, /409/] })
  const page = await ada.signIn(await server.link('analyst', 'ada'))
  const second = await bob.signIn(await server.link('analyst', 'bob'))
  await page.goto(`${server.url}/console/review`)
  await page.getByRole('list', { name: /Reviews that wait/ }).getByText('s-appeals').waitFor()
  await page.keyboard.press('n')
  await page.getByRole('region', { name: 'What the supplier says' }).getByText(`We shipped all of it. ${MARKUP}`).waitFor()
  await page.getByText(/^yours for 1[45]:/).waitFor()
  const link = page.url()
  assert.match(link, /item=a/, 'the view can be shared')
  await second.goto(link)
  await second.getByText('ada is at it; it is free again when the claim ends.').waitFor()
  assert.equal(await second.getByRole('button', { name: /Claim/ }).isDisabled(), true)
  await second.keyboard.press('r')
  await say(second, 'bob was faster', 'Grant the appeal')
  await second.getByRole('dialog').getByText('claimed_by_another').waitFor()
  await second.keyboard.press('Escape')
  await second.goto(`${server.url}/console/suppliers/s-appeals`)
  await second.getByRole('heading', { name: MARKUP }).waitFor()
  assert.notEqual(await second.title(), '1', 'markup is text')
  await page.keyboard.press('r')
  await say(page, '   ', 'Grant the appeal')
  await page.getByRole('dialog').getByRole('alert').first().waitFor()
  await say(page, 'the carrier attests it', 'Grant the appeal')
  await page.getByText('s-appeals: appeal granted').waitFor()
  await second.getByText('Nothing is in force').waitFor()
  await second.getByText('Decisions', { exact: true }).click()
  await second.getByRole('region', { name: 'Appeals' }).getByText('Answer: the carrier attests it').waitFor()
  await ada.done()
  await bob.done()
})

test('a confirmation is undone by a decision of its own, which opens the review again', async () => {
  const who = await operator({ expected: [/404/] })
  const page = await who.page()
  await at(page, '/console/review?kind=decision')
  const { reviews: [first] } = await told(page, '/v1/reviews?kind=decision&limit=1')
  await at(page, `/console/review?kind=decision&item=${first.id}`)
  await page.getByRole('button', { name: /^Confirm/ }).waitFor()
  await page.keyboard.press('c')
  await page.getByRole('dialog').getByText('Within 10 seconds you can undo it, which opens the review again.').waitFor()
  await page.getByRole('dialog').getByLabel('Reason').fill('seen')
  await page.keyboard.press('Control+Enter')
  const messages = page.getByRole('region', { name: 'Messages' })
  assert.equal(await messages.getAttribute('aria-live'), 'polite')
  await messages.getByText(`${first.supplier}: confirmed`).waitFor()
  const waits = () => page.evaluate(async path => (await fetch(path)).status, `/v1/reviews/${first.id}`)
  assert.equal(await waits(), 404, 'it was settled')
  await messages.getByRole('button', { name: 'Undo' }).focus()
  await page.keyboard.press('Enter')
  await page.getByText('Undone', { exact: true }).waitFor()
  assert.equal(await waits(), 200)
  const { restriction, story } = await told(page, `/v1/decisions/${first.restriction.id}`)
  assert.deepEqual(story.slice(0, 2).map(of => [of.action, of.note]), [['reopened', 'the confirmation is undone'], ['confirmed', 'seen']])
  assert.equal(restriction.confirmed ?? null, null)
  await at(page, `/console/decisions/${first.restriction.id}`)
  await page.locator('.timeline').getByText('reopened').first().waitFor()
  await who.done()
})

test('confirming from the impact page and extending from the explanation are kept by the server', async () => {
  const held = await denied('s-kept')
  const who = await person()
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.goto(`${server.url}/console/suppliers/s-kept/impact?decision=${held.id}`)
  await page.getByRole('button', { name: 'Confirm' }).click()
  await say(page, 'looked at', 'Confirm')
  await page.getByText('confirmed by ada').first().waitFor()
  await page.goto(`${server.url}/console/decisions/${held.id}`)
  await page.getByText('by ada').first().waitFor()
  await page.keyboard.press('e')
  await page.getByRole('dialog').getByLabel('Longer by').selectOption('24')
  await say(page, 'still looking', 'Extend')
  await page.locator('.timeline').getByText('extended').waitFor()
  const now = await told(page, `/v1/decisions/${held.id}`)
  assert.equal(Date.parse(now.restriction.expires_at) - Date.parse(held.expires_at), 86_400_000)
  assert.equal(now.restriction.confirmed.actor, 'ada')
  await page.getByRole('button', { name: 'Undo' }).first().click()
  await page.getByText('Undone', { exact: true }).waitFor()
  assert.equal((await told(page, `/v1/decisions/${held.id}`)).restriction.expires_at, held.expires_at)
  await who.done()
})

test('a supplier\'s page shows nothing of the one before while it is asked for', async () => {
  await denied('s-before')
  await denied('s-after')
  const who = await person({ expected: [/404/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.goto(`${server.url}/console/suppliers/s-before`)
  const release = page.getByRole('region', { name: 'In force' }).getByRole('button', { name: 'Release', exact: true })
  await release.waitFor()
  let answer
  const asked = new Promise(done => { answer = done })
  await page.route(/\/v1\/suppliers\/s-after$/, async route => {
    await asked
    await route.continue()
  })
  // As a link does, without loading anew.
  await page.evaluate(() => {
    history.pushState(null, '', '/console/suppliers/s-after')
    dispatchEvent(new PopStateEvent('popstate'))
  })
  await page.locator('main code').filter({ hasText: 's-after' }).first().waitFor()
  assert.equal(await release.count(), 0)
  answer()
  await release.waitFor()
  await who.done()
})

test('an undo leaves what was imposed meanwhile in force, and says so', async () => {
  await denied('s-again')
  const who = await person({ expected: [/404/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.goto(`${server.url}/console/suppliers/s-again`)
  await page.getByRole('region', { name: 'In force' }).getByRole('button', { name: 'Release', exact: true }).click()
  await say(page, 'a mistake', 'Release')
  await page.getByText('s-again: quarantine released').waitFor()
  const { in_force: [by] } = await server.call(await server.key('operator', 'op'), 'POST', '/v1/overrides', { supplier: 's-again', deny: 'quarantine', expires_at: later(48), reason: 'no mistake' })
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Not undone').waitFor()
  const { decisions: [last] } = await told(page, '/v1/decisions?supplier=s-again&limit=1')
  assert.deepEqual(last.in_force.map(of => of.id), [by.id])
  await who.done()
})

test('a decision is about the item that was shown when its dialog was opened, whatever is shown behind it by then', async () => {
  for (const supplier of ['s-tied-a', 's-tied-b']) {
    const held = await denied(supplier)
    await server.call(await server.key('supplier', `${supplier}-key`, supplier), 'POST', `/v1/suppliers/${supplier}/appeals`, { decision: held.id, text: `Said by ${supplier}.` })
  }
  const who = await person({ expected: [/404/, /409/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  const queue = page.getByRole('list', { name: /Reviews that wait/ })
  await page.goto(`${server.url}/console/review?kind=appeal`)
  await queue.getByText('s-tied-a').click()
  await page.getByText('Said by s-tied-a.').waitFor()
  await queue.getByText('s-tied-b').click()
  await page.getByText('Said by s-tied-b.').waitFor()
  await page.getByRole('button', { name: /Claim/ }).click()
  await page.getByText(/^yours for 1[45]:/).waitFor()
  await page.getByRole('button', { name: /^Grant the appeal/ }).click()
  await page.getByRole('dialog').waitFor()
  await page.goBack()
  await page.getByText('Said by s-tied-a.').waitFor()
  await page.getByRole('dialog').getByText('s-tied-b').waitFor()
  await say(page, 'the carrier attests it', 'Grant the appeal')
  await page.getByText('s-tied-b: appeal granted').waitFor()
  const inForce = async supplier => (await told(page, `/v1/decisions?supplier=${supplier}&limit=1`)).decisions[0].in_force.length
  assert.deepEqual([await inForce('s-tied-a'), await inForce('s-tied-b')], [1, 0])
  assert.equal(await page.getByText('Said by s-tied-a.').count(), 1, 'who has gone to another item stays there')
  await who.done()
})

test('reviews that change faster than they are answered are shown all the same', async () => {
  const who = await person()
  const page = await who.signIn(await server.link('analyst', 'ada'))
  let revision = 0
  // Each of these streams ends at once, and the page opens the next one half a second later.
  await page.route('**/console/api/stream*', route => route.fulfill({
    contentType: 'text/event-stream',
    body: `event: hello\ndata: {"instance":"x","resumed":false}\n\nevent: state\ndata: ${JSON.stringify({ channel: 'reviews', data: { open: 0, revision: ++revision } })}\n\n`,
  }))
  await page.route(/\/v1\/reviews\?/, async route => {
    await new Promise(done => setTimeout(done, 2_000))
    await route.continue().catch(() => undefined)
  })
  await page.goto(`${server.url}/console/review`)
  await page.getByRole('list', { name: /Reviews that wait/ }).or(page.getByText('Nothing waits')).first().waitFor()
  assert.ok(revision > 1, 'it changed meanwhile')
  await who.done()
})

test('all that one rule did is counted, taken back by one call that goes on by itself, and put back by undo', async () => {
  const who = await operator({ expected: [/404/, /409/, /412/, /503/] })
  const page = await who.page()
  const sent = []
  await page.route(/:(restore|release)$/, route => {
    sent.push(route.request().url())
    if (sent.length === 1) return route.fulfill({ status: 503, headers: { 'retry-after': '1' }, json: { code: 'put_off', title: 'Not now', detail: 'Ask again in a second.' } })
    return route.continue()
  })
  await at(page, '/console/review/bulk')
  const seen = new Map()
  for (const { restriction } of (await told(page, '/v1/decisions?limit=500')).decisions) if (restriction?.rule && restriction.level !== 'watch') seen.set(restriction.rule.id, (seen.get(restriction.rule.id) ?? 0) + 1)
  const [[rule, many]] = [...seen].sort((a, b) => b[1] - a[1])
  assert.ok(many > 1, 'a rule restricts several')
  await page.getByLabel('Rule', { exact: true }).selectOption(rule)
  await page.getByRole('button', { name: /^Release [1-9]/ }).click()
  const dialog = page.getByRole('dialog')
  const go = dialog.getByRole('button', { name: /^Release/ })
  assert.equal(await go.isDisabled(), true, 'not without a reason')
  await dialog.getByLabel(/stop the rule as well/).check()
  await dialog.getByLabel('Reason').fill('the rule was wrong')
  await shot(page, 'bulk-asked')
  await go.click()
  await dialog.getByText('put_off').waitFor()
  await go.click()
  const progress = page.getByTestId('progress')
  await progress.filter({ hasText: 'done' }).waitFor()
  // The demo plays on: what ends by itself meanwhile is decided by nobody.
  const [, done, all, ended = '0'] = /^(\d+) of (\d+) released(?:, (\d+) had ended by themselves)?(?:, \d+ stay because a person confirmed them)?; done/.exec(await progress.textContent())
  assert.equal(Number(done) + Number(ended), Number(all))
  assert.ok(Number(done) > 0)
  await page.getByText('does nothing until it is rearmed').waitFor()
  await shot(page, 'bulk-done')
  assert.ok(rule in (await told(page, '/v1/rules')).exceeded, 'it is stopped')
  assert.equal(sent.length, 2, 'one call, which was put off once')
  const decided = (await told(page, '/v1/decisions?limit=500')).decisions.filter(of => of.note === 'the rule was wrong')
  assert.equal(decided.length, Number(done))
  assert.equal(new Set(decided.map(of => of.act)).size, 1, 'all of them by one act')
  const releases = decided.filter(of => of.action === 'released')
  await page.getByRole('button', { name: 'Undo' }).click()
  await progress.filter({ hasText: /put back.*; done/ }).waitFor()
  // What a rule has imposed anew by then stays as it is.
  const [, putBack, ofAll, refused = '0'] = /^(\d+) of (\d+) put back(?:, (\d+) refused)?; done/.exec(await progress.textContent())
  assert.equal(Number(ofAll), releases.length)
  assert.equal(Number(putBack) + Number(refused), releases.length)
  const back = (await told(page, `/v1/suppliers/${releases[0].supplier}/standing`)).in_force
  assert.ok(back.some(of => of.level === releases[0].restriction.level))
  const rearmed = await page.evaluate(async rule => {
    const { csrf } = await (await fetch('/console/api/session')).json()
    const headers = { 'content-type': 'application/json', 'stockade-csrf': csrf }
    return (await fetch(`/v1/rules/${rule}:rearm`, { method: 'POST', headers, body: JSON.stringify({ reason: 'the test is over' }) })).status
  }, rule)
  assert.equal(rearmed, 200)
  await who.done()
})

test('where inventory runs in another process, a supplier is shown by its id with all that is decided here', async () => {
  await denied('s-elsewhere')
  const who = await person({ expected: [/404/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.route(/\/v1\/suppliers\/s-elsewhere(\/listings.*)?$/, route => route.fulfill({ status: 404, json: { code: 'no_such_path', title: 'Not Found', detail: 'there is nothing at this path' } }))
  await page.goto(`${server.url}/console/suppliers/s-elsewhere`)
  await page.getByRole('heading', { level: 1, name: 's-elsewhere' }).waitFor()
  await page.getByRole('region', { name: 'In force' }).getByText('quarantine').waitFor()
  await page.getByRole('button', { name: 'Listings' }).click()
  await page.getByText('Another process answers that').waitFor()
  await shot(page, 'supplier-elsewhere')
  await who.done()
})

test('what is not there is said in words, with its code', async () => {
  const who = await operator({ expected: [/404/] })
  const page = await who.page()
  for (const [path, code] of [['/console/decisions/d-none', 'no_such_decision'], ['/console/suppliers/nobody-at-all', /unknown_supplier|no_such_supplier|not_found/], ['/console/suppliers/nobody-at-all/impact', /unknown_supplier|no_such_supplier|not_found/]]) {
    await at(page, path)
    await page.getByRole('alert').getByText(code).waitFor()
  }
  await at(page, '/console/review?item=a-none')
  await page.getByText('It waits no more').waitFor()
  await who.done()
})

for (const [size, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
  for (const theme of ['light', 'dark']) {
    test(`the pages of a supplier and of a decision are without serious faults, ${size} and ${theme}`, async () => {
      const who = await operator({ viewport, theme })
      const page = await who.page()
      const { reviews } = await told(await at(page, '/console/review'), '/v1/reviews?limit=1')
      const found = []
      const isLookedAt = (size === 'wide') === (theme === 'light')
      const supplier = `/console/suppliers/${caught.supplier}`
      for (const [name, path] of [['explain', `/console/decisions/${caught.id}`], ['supplier', supplier], ['supplier-listings', `${supplier}?view=listings`], ['supplier-decisions', `${supplier}?view=decisions`], ['impact', `${supplier}/impact`], ['review-item', `/console/review?item=${reviews[0].id}`], ['bulk-nothing', '/console/review/bulk?rule=no-such-rule'], ['bulk-counted', `/console/review/bulk?rule=${caught.rule.id}`]]) {
        await at(page, path)
        await page.locator('[data-fresh=live]').first().waitFor({ state: 'attached' })
        // Both sizes and both themes, without looking at each page four times.
        if (isLookedAt) found.push(...(await faults(page)).map(fault => `${name}: ${fault}`))
        const wider = await excessWidth(page)
        if (wider > 0) found.push(`${name}: the page is ${wider} px wider than the window`)
        await page.evaluate(() => scrollTo(0, 0))
        await shot(page, `${name}-${size}-${theme}`)
      }
      assert.deepEqual(found, [])
      await who.done()
    })
  }
}
