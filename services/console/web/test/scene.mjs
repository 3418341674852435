// What several tests begin with: a server of their own beside a demo whose operator is signed in once, and how pages are asked and looked at.
import assert from 'node:assert/strict'
import { closeBrowser, demo, excessWidth, faults, NARROW, person, serve, shot, WIDE } from './harness.mjs'

/** What would be executed if it were not text. */
export const MARKUP = '<img src=x onerror="document.title=1">'
export const later = hours => new Date(Date.now() + hours * 3_600_000).toISOString()

/** What the server says to the session of a page. */
export const told = (page, path) => page.evaluate(async path => {
  const answer = await fetch(path)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}, path)

/** Asks until there is something; the page waits between, so that nothing is measured by time. */
export async function until(page, ask) {
  for (let tries = 0; tries < 600; tries++) {
    const found = await ask()
    if (found) return found
    await page.waitForTimeout(100)
  }
  throw new Error('it did not happen')
}

/**
 * Looks at a page at both widths and themes: faults of use, and whether it is wider than the window. It is wide and light again after. `at` is what the
 * screenshots are to show, where that is further down.
 */
export async function looks(page, name, at) {
  const found = []
  for (const [size, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
    await page.setViewportSize(viewport)
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      await page.waitForFunction(() => !document.querySelector('.bones'))
      found.push(...(await faults(page)).map(fault => `${name} ${size} ${colorScheme}: ${fault}`))
      const wider = await excessWidth(page)
      if (wider > 0) found.push(`${name} ${size}: ${wider} px wider than the window`)
      await at?.evaluate(node => node.scrollIntoView({ block: 'start' }))
      await shot(page, `${name}-${size}-${colorScheme}`)
    }
  }
  await page.setViewportSize(WIDE)
  await page.emulateMedia({ colorScheme: 'light' })
  assert.deepEqual(found, [])
}

/** Both, and a supplier of the demo that a rule withholds as a whole. To be stopped. */
export async function scene() {
  const [server, market] = await Promise.all([serve(), demo()])
  const who = await person()
  const page = await who.signIn(market.link)
  const state = await who.context.storageState()
  /** The restriction, with the supplier. */
  const caught = await until(page, async () => (await told(page, '/v1/decisions?limit=500')).decisions
    .flatMap(of => of.in_force.filter(one => one.level === 'quarantine' && one.scope.kind === 'supplier' && one.rule).map(one => ({ ...one, supplier: of.supplier })))[0])
  await who.done()
  return {
    server, market, caught,
    /** The operator of the demo, in a browser of its own. */
    async operator(more = {}) {
      const who = await person(more)
      await who.context.addCookies(state.cookies)
      return who
    },
    /** A page of the demo's console, once it has been loaded. */
    async at(page, path) {
      await page.goto(market.url + path)
      await page.locator('h1').waitFor()
      await page.waitForFunction(() => !document.querySelector('.bones'))
      return page
    },
    /** A supplier of the server that an operator registers and denies; what is in force. */
    async denied(supplier, { name = supplier, reason = 'a test' } = {}) {
      const key = await server.key('operator', 'op')
      await server.call(key, 'PUT', `/v1/suppliers/${supplier}`, { name, region: 'DE' })
      const { in_force: [held] } = await server.call(key, 'POST', '/v1/overrides', { supplier, deny: 'quarantine', expires_at: later(24), reason })
      return held
    },
    async stop() {
      await closeBrowser()
      await Promise.all([server.stop(), market.stop()])
    },
  }
}
