// The console in a real browser, against a real server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { closeBrowser, demo, excessWidth, faults, NARROW, person, registry, serve, shot, SHOTS, WIDE } from './harness.mjs'

let server
let market
before(async () => { [server, market] = await Promise.all([serve(), demo()]) })
after(async () => {
  await closeBrowser()
  await Promise.all([server?.stop(), market?.stop()])
  console.log(`screenshots: ${SHOTS}`)
})

/** The demo's operator, signed in once; each test opens tabs of its own. */
let operator
async function operatorOf({ viewport = WIDE, theme = 'light' } = {}) {
  operator ??= await (async () => {
    const first = await person()
    const page = await first.signIn(market.link)
    await page.close()
    const state = await first.context.storageState()
    await first.done()
    return state
  })()
  const who = await person({ viewport, theme })
  await who.context.addCookies(operator.cookies)
  return who
}

/** Something that happens on a live server: a supplier that an operator registers and an analyst denies. */
async function deny(supplier) {
  const key = await server.key('operator', 'op')
  await server.call(key, 'PUT', `/v1/suppliers/${supplier}`, { name: supplier, region: 'DE' })
  await server.call(key, 'POST', '/v1/overrides', { supplier, deny: 'quarantine', expires_at: new Date(Date.now() + 3_600_000).toISOString(), reason: 'a test of the console' })
}

test('a link signs in once, and its second reader is told so', async () => {
  const who = await person({ expected: [/410/] })
  const link = await server.link('analyst')
  const page = await who.signIn(link)
  assert.match(page.url(), /\/console\/overview$/, 'the token is gone from the address')
  const [cookie] = await who.context.cookies()
  assert.equal(cookie.httpOnly, true)
  assert.equal(cookie.sameSite, 'Strict')
  const other = await person({ expected: [/410/] })
  const second = await other.page()
  await second.goto(link)
  await second.getByText('This link was used already').waitFor()
  await second.getByText('stockade console link').first().waitFor()
  await shot(second, 'link-used')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('You are not signed in').waitFor()
  await other.done()
  await who.done()
})

test('a link with a part missing and one of another server are refused in words', async () => {
  const who = await person({ expected: [/404/] })
  const page = await who.page()
  await page.goto(`${server.url}/console/sign-in`)
  await page.getByText('This is not a whole link').or(page.getByText('What stands behind #')).first().waitFor()
  const other = await who.page()
  await other.goto(`${server.url}/console/sign-in#0123`)
  await other.getByText('not made for this server').waitFor()
  await who.done()
})

test('a change by the cookie alone is refused, and with the token of the page it is done', async () => {
  const who = await person({ expected: [/403/] })
  const page = await who.signIn(await server.link('operator', 'olga'))
  const put = headers => page.evaluate(async headers => {
    const answer = await fetch('/v1/ops/kill-switch', { method: 'PUT', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ on: false, reason: 'a test' }) })
    return { status: answer.status, code: (await answer.json()).code }
  }, headers)
  assert.deepEqual(await put({}), { status: 403, code: 'csrf_token_needed' })
  assert.deepEqual(await put({ 'stockade-csrf': 'guessed' }), { status: 403, code: 'csrf_token_needed' })
  const csrf = await page.evaluate(async () => (await (await fetch('/console/api/session')).json()).csrf)
  assert.equal((await put({ 'stockade-csrf': csrf })).status, 200)
  await who.done()
})

test('an ended session leaves the page as it is, and goes on after signing in again in another tab', async () => {
  const who = await person({ expected: [/401/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.goto(`${server.url}/console/live?q=something`)
  await page.getByRole('heading', { name: 'Live' }).waitFor()
  // The server forgets it, as it does when its time is over; the page learns of it by its stream.
  const tab = await who.page()
  await tab.goto(`${server.url}/console/overview`)
  await tab.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('dialog', { name: 'Your session has ended' }).waitFor()
  assert.match(page.url(), /q=something/)
  assert.equal(await page.getByRole('searchbox').inputValue(), 'something', 'nothing that was typed is lost')
  await shot(page, 'session-ended')
  await tab.goto(await server.link('analyst', 'ada'))
  await tab.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.getByRole('button', { name: 'I have signed in again' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.locator('[data-fresh=live]').first().waitFor()
  await who.done()
})

test('a decision reaches two tabs without loading anew, and filters are steps that Back undoes', async () => {
  const who = await person()
  const first = await who.signIn(await server.link('analyst', 'ada'))
  const second = await who.page()
  for (const page of [first, second]) {
    await page.goto(`${server.url}/console/live`)
    await page.locator('[data-fresh=live]').first().waitFor()
  }
  await second.getByRole('button', { name: /Pause/ }).click()
  await deny('s-two-tabs')
  await first.getByRole('row', { name: /s-two-tabs/ }).waitFor()
  await second.getByTestId('unseen').filter({ hasText: '1 unseen' }).waitFor()
  assert.equal(await second.getByRole('row', { name: /s-two-tabs/ }).count(), 0)
  await second.getByRole('button', { name: /Show 1 more/ }).click()
  await second.getByRole('row', { name: /s-two-tabs/ }).waitFor()
  // A tab behind another one is drawn once a second only.
  await first.bringToFront()
  await first.getByLabel('Level').selectOption('lockout')
  await first.getByText('Nothing fits these filters').waitFor()
  await first.goBack()
  await first.getByRole('row', { name: /s-two-tabs/ }).click()
  await first.getByRole('dialog').getByText('op', { exact: true }).waitFor()
  await first.keyboard.press('Escape')
  await first.getByRole('dialog').waitFor({ state: 'detached' })
  // Enter is the button's own; the row is opened from the table, which j gives the focus.
  await first.getByRole('button', { name: /Pause/ }).focus()
  await first.keyboard.press('Enter')
  await first.getByTestId('unseen').waitFor()
  assert.equal(await first.getByRole('dialog').count(), 0)
  await first.keyboard.press('j')
  await first.keyboard.press('Enter')
  await first.getByRole('dialog').waitFor()
  await who.done()
})

test('keys go to pages and are listed, act once while held, and none acts with a modifier, in a field or behind a dialog', async () => {
  const who = await person()
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.keyboard.press('g')
  await page.keyboard.press('l')
  await page.getByRole('heading', { name: 'Live' }).waitFor()
  await page.keyboard.press('Control+p')
  assert.equal(await page.getByTestId('unseen').count(), 0)
  await page.keyboard.press('/')
  await page.keyboard.type('pg o?')
  assert.equal(await page.getByRole('searchbox').inputValue(), 'pg o?')
  await page.keyboard.press('Escape')
  await page.keyboard.press('?')
  await page.getByRole('dialog', { name: 'Keys' }).getByText('Pause or go on').waitFor()
  await shot(page, 'keys')
  await page.evaluate(() => document.activeElement.blur())
  await page.keyboard.press('p')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.equal(await page.getByTestId('unseen').count(), 0, 'not behind a dialog')
  await page.keyboard.down('p')
  await page.keyboard.down('p')
  await page.keyboard.up('p')
  await page.getByTestId('unseen').waitFor()
  await who.done()
})

test('a server that restarts is shown, the session lasts, and the page goes on where it was', async () => {
  const who = await person({ expected: [/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|503/] })
  const page = await who.signIn(await server.link('analyst', 'ada'))
  await page.goto(`${server.url}/console/live`)
  await deny('s-before')
  await page.getByRole('row', { name: /s-before/ }).waitFor()
  await server.stopServing()
  await page.locator('.side [data-fresh=lost]').waitFor()
  await shot(page, 'server-gone')
  await server.startAgain()
  await page.locator('.side [data-fresh=live]').waitFor()
  await page.getByRole('row', { name: /s-before/ }).waitFor()
  await deny('s-after')
  await page.getByRole('row', { name: /s-after/ }).waitFor()
  assert.equal(await page.getByRole('row', { name: /s-before/ }).count(), 1, 'nothing is told twice')
  await who.done()
})

test('the overview and the live page show a marketplace under attack', async () => {
  const who = await operatorOf()
  const page = await who.page()
  await page.goto(`${market.url}/console/live`)
  await page.getByRole('row', { name: /quarantine|lockout/ }).first().waitFor({ timeout: 90_000 })
  await page.goto(`${market.url}/console/overview`)
  const chart = page.getByRole('figure', { name: 'Restricted by level' })
  await chart.getByRole('button', { name: /as a table/ }).click()
  await chart.getByRole('cell').first().waitFor()
  const told = await page.evaluate(async () => (await (await fetch('/console/api/figures')).json()))
  assert.ok(told.history.at.length > 5)
  assert.ok(told.annotations.some(of => of.kind === 'lockout'), 'lock-outs are marked')
  assert.ok(Object.keys(told.tallies.rules).length > 0)
  assert.ok(told.history.figures.events.some(value => value > 0))
  await chart.getByRole('button', { name: /as a table/ }).click()
  await who.done()
})

test('a hundred thousand decisions are scrolled through with a screenful of rows, and what is looked at stays in its place', async context => {
  const who = await person()
  const page = await who.signIn(await server.link('analyst', 'ada'))
  const row = offset => ({ offset, at: new Date(1_790_000_000_000 + offset * 10).toISOString(), supplier: `s-${offset % 900}`, action: 'imposed', id: `d-${offset}`, level: 'cap', reasons: ['PRICE_OUTLIER'], rule: `rule-${offset % 7}`, values: {} })
  const batch = (from, length) => `event: decisions\nid: ${from + length}\ndata: ${JSON.stringify({ rows: Array.from({ length }, (_, at) => row(from + at)) })}\n\n`
  const all = `event: hello\ndata: {"instance":"x","resumed":false}\n\n${Array.from({ length: 200 }, (_, at) => batch(at * 500, 500)).join('')}`
  let asked = 0
  await page.route('**/console/api/stream*', route => route.fulfill({ contentType: 'text/event-stream', body: route.request().url().includes('decisions') && asked++ === 0 ? all : batch(100_000, 3) }))
  await page.goto(`${server.url}/console/live`)
  await page.getByTestId('rows').filter({ hasText: '100,000' }).waitFor()
  const frames = await page.evaluate(async () => {
    const body = document.querySelector('.vt-body')
    const gaps = []
    let before = performance.now()
    for (let step = 0; step < 120; step++) {
      body.scrollTop = step * 20_000
      await new Promise(done => requestAnimationFrame(done))
      gaps.push(performance.now() - before)
      before = performance.now()
    }
    return { worst: Math.max(...gaps.slice(1)), rows: document.querySelectorAll('.vt-row').length }
  })
  context.diagnostic(`worst frame while scrolling 100,000 rows: ${frames.worst.toFixed(1)} ms`)
  assert.ok(frames.rows < 80, `${frames.rows} rows exist`)
  await who.done()
})

for (const [size, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
  for (const theme of ['light', 'dark']) {
    test(`every page is without serious faults, ${size} and ${theme}`, async () => {
      const who = await operatorOf({ viewport, theme })
      const found = []
      for (const { name, path } of registry().filter(page => page.roles === 'STAFF' && !page.path.includes(':'))) {
        const page = await who.page()
        await page.goto(market.url + path)
        await page.locator('h1').waitFor()
        await page.locator('[data-fresh=live]').first().waitFor({ state: 'attached' })
        await page.waitForFunction(() => !document.querySelector('.bones'))
        found.push(...(await faults(page)).map(fault => `${name}: ${fault}`))
        const wider = await excessWidth(page)
        if (wider > 0) found.push(`${name}: the page is ${wider} px wider than the window`)
        await shot(page, `${name}-${size}-${theme}`)
        await page.close()
      }
      assert.deepEqual(found, [])
      await who.done()
    })
  }
}
