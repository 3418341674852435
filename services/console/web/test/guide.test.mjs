// The five things that a demo leads newcomers through, done.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { closeBrowser, demo, faults, NARROW, person, shot, telling } from './harness.mjs'

let market
before(async () => { market = await demo() })
after(async () => {
  await closeBrowser()
  await market?.stop()
})

test('the guide leads to a lock-out, its release brings the offers back, and whoever attacks is held', async () => {
  const who = await person({ expected: [/40[0-9]|429/] })
  const you = await person()
  await telling(() => [...who.context.pages(), ...you.context.pages()], async () => {
    const page = await who.signIn(market.link)
    const guide = page.getByRole('navigation', { name: 'Five things to do' })
    await guide.waitFor()
    assert.equal(await guide.getByRole('listitem').count(), 5)
    await guide.getByRole('link', { name: 'Watch a lock-out' }).click()
    await page.getByRole('heading', { name: 'Live' }).waitFor()
    await guide.getByRole('link', { name: 'Open its explanation' }).waitFor({ timeout: 120_000 })
    for (const link of await guide.getByRole('link').all()) assert.match(await link.getAttribute('href'), /^(\/console\/|blob:)/)
    await guide.getByRole('link', { name: 'see the offers come back' }).click()
    await page.locator('[data-link=live]').waitFor()
    const sku = new URL(page.url()).searchParams.get('sku')
    const { supplier, decision } = await page.evaluate(async () => {
      const href = document.querySelector('.guide li:nth-child(3) a').getAttribute('href')
      const { decisions } = await (await fetch('/v1/decisions?limit=500')).json()
      const whose = new URL(href, location.href).searchParams.get('supplier') ?? decodeURIComponent(href.split('/').at(-1))
      const of = decisions.find(one => one.restriction?.id === whose || one.supplier === whose)
      return { supplier: of.supplier, decision: of.in_force.find(held => ['quarantine', 'lockout'].includes(held.level)).id }
    })
    const offers = page.locator(`[data-offer^="${supplier}/"]`)
    await page.getByTestId('changes').waitFor()
    assert.equal(await offers.count(), 0, `${supplier} offers ${sku} although it is withheld`)
    const status = await page.evaluate(async decision => {
      const { csrf } = await (await fetch('/console/api/session')).json()
      const answer = await fetch(`/v1/decisions/${decision}:release`, { method: 'POST', headers: { 'content-type': 'application/json', 'stockade-csrf': csrf }, body: JSON.stringify({ reason: 'the guide' }) })
      return answer.status
    }, decision)
    assert.ok(status < 300, `the release was answered ${status}`)
    await offers.first().waitFor()
    assert.deepEqual(await faults(page), [])
    await page.goto(`${market.url}/console/overview`)
    await guide.waitFor()
    await shot(page, 'guide-wide-light')
    await page.setViewportSize(NARROW)
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot(page, 'guide-narrow-dark')
    const [download] = await Promise.all([page.waitForEvent('download'), guide.getByRole('link', { name: 'Save an attack' }).click()])
    const attacker = await you.signIn(market.url + await guide.getByRole('link', { name: 'send it as a supplier' }).getAttribute('href'))
    await attacker.getByText('Nothing is in force against you').waitFor()
    await attacker.getByRole('button', { name: 'Imports' }).click()
    await attacker.getByLabel('Inventory file').setInputFiles(await download.path())
    await attacker.getByRole('button', { name: 'Import', exact: true }).click()
    await attacker.getByRole('row', { name: /done/ }).waitFor()
    await attacker.getByRole('button', { name: 'Standing', exact: true }).click()
    await attacker.getByTestId('level').getByText(/cap|quarantine|lockout/).waitFor()
    await shot(attacker, 'guide-attacker')
  })
  await you.done()
  await who.done()
})
