// Starts a real server and a real browser, signs in by a link as people do, and fails a test on anything the browser complains of.
import { spawn, execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../../../..')
export const BINARY = process.env.STOCKADE_TEST_BINARY ?? join(root, 'target/debug/stockade')
export const SHOTS = process.env.STOCKADE_TEST_SHOTS ?? mkdtempSync(join(tmpdir(), 'stockade-shots-'))
const CHROMIUM = process.env.STOCKADE_TEST_CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const AXE = readFileSync(join(here, '../node_modules/axe-core/axe.min.js'), 'utf8')
const run = promisify(execFile)

export const WIDE = { width: 1280, height: 800 }
export const NARROW = { width: 390, height: 844 }

/** Runs the command and returns what it prints. */
export async function command(...args) {
  const { stdout } = await run(BINARY, args)
  return stdout.trim()
}

/** The first line that `pattern` fits, from a stream of lines that goes on being read. */
function lineOf(child, pattern, what) {
  return new Promise((found, failed) => {
    let said = ''
    createInterface({ input: child.stdout }).on('line', line => {
      said += line + '\n'
      const match = pattern.exec(line)
      if (match) found(match)
    })
    child.stderr.on('data', text => { said += text })
    child.once('exit', code => failed(new Error(`${what} ended with ${code} before it was ready:\n${said}`)))
  })
}

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise(done => child.once('exit', done))
  child.kill('SIGTERM')
  await gone
}

/** `stockade serve` on a directory of its own; `restart` starts it again on the same directory and port. */
export async function serve({ env = {} } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'stockade-console-'))
  let child
  const start = async listen => {
    child = spawn(BINARY, ['serve', '--data', data, '--listen', listen, '--admin-listen', '127.0.0.1:0', '--partitions', '2'], { env: { ...process.env, ...env } })
    return (await lineOf(child, /^api (http:\S+) admin (http:\S+)/, 'the server'))
  }
  const [, url, admin] = await start('127.0.0.1:0')
  const ready = async () => {
    for (let tries = 0; tries < 400; tries++) {
      const answer = await fetch(`${url}/readyz`).catch(() => undefined)
      if (answer?.ok) return
      await new Promise(done => setTimeout(done, 50))
    }
    throw new Error('the server did not become ready')
  }
  await ready()
  const keys = new Map()
  const self = {
    url, admin, data,
    /** A key, made once by the command line as people make them. */
    async key(role, name = role, supplier) {
      if (!keys.has(name)) keys.set(name, await command('keys', 'create', '--data', data, '--role', role, '--name', name, ...(supplier ? ['--supplier', supplier] : [])))
      return keys.get(name)
    },
    /** A link that signs in once. */
    link: (role, name = 'ada', ...more) => command('console', 'link', '--data', data, '--url', url, '--role', role, '--name', name, ...more),
    /** A call with a key; waits for keys that the server does not know yet. */
    async call(key, method, path, body) {
      for (let tries = 0; ; tries++) {
        const answer = await fetch(url + path, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body) })
        const text = await answer.text()
        const said = text ? JSON.parse(text) : undefined
        if (answer.ok) return said
        const isEarly = said?.code === 'unknown_key' || answer.status === 503
        if (!isEarly || tries > 100) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
        await new Promise(done => setTimeout(done, 100))
      }
    },
    stopServing: () => ended(child),
    async startAgain() { await start(new URL(url).host); await ready() },
    async stop() { await ended(child); rmSync(data, { recursive: true, force: true }) },
  }
  return self
}

/** `stockade demo`, which plays on; `link` signs its operator in, `buyer` is a buyer's key. */
export async function demo() {
  const child = spawn(BINARY, ['demo', '--no-open', '--seed', '1'])
  const [[, link], [, buyer]] = await Promise.all([
    lineOf(child, /^\s+(http\S+\/console\/sign-in#\w+)/, 'the demo'), lineOf(child, /Bearer (sk_\w+)' 'http\S+\/v1\/availability/, 'the demo'),
  ])
  return { link, buyer, url: new URL(link).origin, stop: async () => { const gone = new Promise(done => child.once('exit', done)); child.kill('SIGINT'); await gone } }
}

let browser
export async function openBrowser() {
  if (!CHROMIUM) throw new Error('Chromium is missing: install the package chromium, or set STOCKADE_TEST_CHROMIUM')
  browser ??= await chromium.launch({
    executablePath: CHROMIUM, headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
  return browser
}
export const closeBrowser = async () => { await browser?.close(); browser = undefined }

/** A person's browser: cookies of its own. `complaints` gathers what no page may cause; `expected` are those a test causes itself. */
export async function person({ viewport = WIDE, theme = 'light', expected = [] } = {}) {
  const context = await (await openBrowser()).newContext({ viewport, colorScheme: theme, timezoneId: 'Europe/Berlin' })
  const complaints = []
  const note = text => { if (!expected.some(pattern => pattern.test(text))) complaints.push(text) }
  context.on('page', page => {
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) note(`console: ${message.text()}`) })
    page.on('pageerror', error => note(`error: ${error.stack ?? error}`))
    page.on('request', request => { if (!request.url().startsWith('data:') && !/^http:\/\/127\.0\.0\.1:/.test(request.url())) note(`loaded from elsewhere: ${request.url()}`) })
  })
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', event => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))
  })
  return {
    context, complaints, expected,
    page: () => context.newPage(),
    async signIn(link) {
      const page = await context.newPage()
      await page.goto(link)
      await page.waitForSelector('.shell')
      return page
    },
    /** To be called at the end of each test. */
    async done() {
      await context.close()
      if (complaints.length > 0) throw new Error(`the browser complained:\n${complaints.join('\n')}`)
    },
  }
}

/** Serious and critical faults for people who use the page by keyboard or ear. */
export async function faults(page) {
  // Through the protocol, which the policy of the page does not bind.
  await page.evaluate(AXE + ';0')
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
  return violations.filter(of => ['serious', 'critical'].includes(of.impact))
    .map(of => `${of.id}: ${of.help} (${of.nodes.slice(0, 3).map(node => node.target.join(' ') + ' ' + (node.any[0]?.message ?? '')).join('; ')})`)
}

/**
 * How many pixels the page is wider than its window once it has settled. What measures itself (a chart) follows a new
 * width of the window a frame or more later, so a page that is too wide gets some seconds in which to stop being it.
 */
export async function excessWidth(page) {
  const excess = () => document.documentElement.scrollWidth - document.documentElement.clientWidth
  await page.waitForFunction(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth, undefined, { timeout: 5_000 }).catch(() => {})
  return page.evaluate(excess)
}

/** Does something, and where it fails says what the pages showed then: who reads it in a report has nothing else to look at. */
export async function telling(pages, work) {
  try {
    return await work()
  } catch (error) {
    for (const page of pages()) {
      const text = await page.locator('body').innerText({ timeout: 2_000 }).catch(why => `(unreadable: ${why.message})`)
      error.message += `\n--- ${page.url()}\n${text.slice(0, 3_000)}`
    }
    throw error
  }
}
export const shot = (page, name) => page.screenshot({ path: join(SHOTS, `${name}.png`) })

/** The pages of the registry, one line each in src/pages/index.ts: name, address and whether staff may see it. */
export function registry() {
  const text = readFileSync(join(here, '../src/pages/index.ts'), 'utf8')
  const lines = text.matchAll(/\{ name: '([^']+)', title: '([^']+)', path: '([^']+)', roles: (\w+|\[[^\]]*\])/g)
  const pages = [...lines].map(([, name, title, path, roles]) => ({ name, title, path, roles }))
  if (pages.length === 0) throw new Error('no page was found in src/pages/index.ts: is each on one line, beginning with its name, title, path and roles?')
  return pages
}
