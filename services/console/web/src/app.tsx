// The shell: who one is, where one can go, how fresh it all is, and the page.
import { signal } from '@preact/signals'
import type { FunctionComponent } from 'preact'
import { useEffect, useErrorBoundary, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, findSession, session, sessionEnded, signOut } from './api'
import { hotKeys, useKeys } from './keys'
import { pageHere, pagesOf, type Page, type PageProps, type RoleName } from './pages'
import SignIn, { Card, HowToSignIn } from './pages/sign-in'
import { go, path } from './router'
import { useChannel } from './stream'
import type { ReviewsState } from './stream-types'
import { theme } from './theme'
import { Dialog } from './ui/dialog'
import { Guide } from './ui/guide'
import { Failed, Fresh, Loading } from './ui/states'
import { Toasts, toastError } from './ui/toast'

const SIGN_IN = '/console/sign-in'
const home = (role: RoleName) => pagesOf(role).find(page => page.nav)?.path ?? '/console/'
const helpOpen = signal(false)
const menuOpen = signal(false)
const nextTheme = { system: 'dark', dark: 'light', light: 'system' } as const

function Mark() {
  return <svg width="18" height="18" viewBox="0 0 16 16" aria-hidden="true"><path fill="currentColor" d="M1 15V4l2-3 2 3v11zm5 0V4l2-3 2 3v11zm5 0V4l2-3 2 3v11z" /></svg>
}

function Help() {
  const seen = new Set<string>()
  const own = hotKeys.value.filter(of => !seen.has(of.keys) && seen.add(of.keys))
  return (
    <Dialog title="Keys" onClose={() => { helpOpen.value = false }}>
      <table class="plain-table"><tbody>
        {own.map(of => <tr key={of.keys}><td>{of.keys.split(' ').map(key => <kbd key={key}>{key}</kbd>)}</td><td>{of.label}</td></tr>)}
      </tbody></table>
      <p class="quiet">Keys with Ctrl, Alt or ⌘ are the browser's own, and nothing acts while you type.</p>
    </Dialog>
  )
}

function Side({ role, here }: { role: RoleName; here?: Page }) {
  const pages = pagesOf(role).filter(page => page.nav)
  const groups = [...new Set(pages.map(page => page.nav!.group))]
  const reviews = useChannel<ReviewsState>('reviews').value
  const counts: Record<string, number | undefined> = { review: reviews?.open }
  const who = session.value!
  return (
    <nav class={`side${menuOpen.value ? ' open' : ''}`} id="side" aria-label="Pages">
      <a class="brand" href={home(role)}><Mark />Stockade</a>
      {groups.map(group => (
        <div key={group} role="group" aria-label={group}>
          <div class="group" aria-hidden="true">{group}</div>
          {pages.filter(page => page.nav!.group === group).map(page => (
            <a key={page.name} class="item" href={page.path} aria-current={page === here ? 'page' : undefined} onClick={() => { menuOpen.value = false }}>
              {page.title}{counts[page.name] ? <span class="count">{counts[page.name]}</span> : null}
            </a>
          ))}
        </div>
      ))}
      <div class="foot">
        <div><span class="who">{who.name}</span><div class="quiet">{who.role}{who.supplier ? ` ${who.supplier}` : ''}</div></div>
        <Fresh />
        <div class="row">
          <button type="button" class="btn plain small" onClick={() => { helpOpen.value = true }}>Keys <kbd>?</kbd></button>
          <button type="button" class="btn plain small" onClick={() => { theme.value = nextTheme[theme.value] }}>Theme: {theme.value}</button>
          <button type="button" class="btn plain small" onClick={() => void signOut().catch(toastError)}>Sign out</button>
        </div>
      </div>
    </nav>
  )
}

const loaded = new Map<string, FunctionComponent<PageProps>>()

/** A page that fails says so in its place; the shell and the other pages go on. A page of another supplier, rule or decision is another page: no
 *  dialog that was opened on one is left open on the next. */
function PagePlace({ page, params }: { page: Page; params: Record<string, string> }) {
  const [, setTurn] = useState(0)
  const [lost, setLost] = useState<ApiError | null>(null)
  const [failed, reset] = useErrorBoundary()
  const Shown = loaded.get(page.name)
  const load = () => {
    setLost(null)
    page.load().then(
      of => { loaded.set(page.name, of.default); setTurn(was => was + 1) },
      () => setLost(new ApiError(0, 'page_missing', 'This page could not be loaded', 'The server may be restarting, or has another version by now. Try again, or load the whole page anew.')),
    )
  }
  useEffect(() => { if (!loaded.has(page.name)) load() }, [page.name])
  if (failed) return <Failed error={new ApiError(0, 'page_failed', 'This page failed', String(failed))} again={reset} />
  if (lost) return <Failed error={lost} again={load} />
  return Shown ? <Shown params={params} /> : <Loading lines={8} />
}

function Shell({ role }: { role: RoleName }) {
  const here = pageHere(role)
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)
  const name = here?.page.name
  useKeys(useMemo(() => [
    { keys: '?', label: 'Show these keys', run: () => { helpOpen.value = true } },
    ...pagesOf(role).filter(page => page.nav).map(page => ({ keys: `g ${page.nav!.key}`, label: `Go to ${page.title}`, run: () => go(page.path) })),
  ], [role]))
  useEffect(() => {
    document.title = here ? `${here.page.title} · Stockade` : 'Stockade'
    menuOpen.value = false
    // Whoever does not see the page change must be told: the focus goes to where it begins.
    if (!first.current) main.current?.focus()
    first.current = false
    scrollTo(0, 0)
  }, [name])
  useEffect(() => { if (path.value === '/console/' || path.value === '/console') go(home(role), { replace: true }) }, [path.value])
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={event => { event.preventDefault(); main.current?.focus() }}>Skip to the page</a>
      <Side role={role} here={here?.page} />
      {menuOpen.value && <button type="button" class="veil" aria-label="Close the menu" onClick={() => { menuOpen.value = false }} />}
      <div>
        <div class="top">
          <button type="button" class="btn small" aria-expanded={menuOpen.value} aria-controls="side" onClick={() => { menuOpen.value = !menuOpen.value }}>Menu</button>
          <strong>{here?.page.title ?? 'Stockade'}</strong><span class="push"><Fresh /></span>
        </div>
        <main id="main" ref={main} tabIndex={-1}>
          <Guide />
          {here ? <PagePlace key={`${here.page.name} ${JSON.stringify(here.params)}`} page={here.page} params={here.params} /> : <div class="state"><h1>There is no such page</h1><p>It may be that another role has it. <a href={home(role)}>Go to the first page</a>.</p></div>}
        </main>
      </div>
      {helpOpen.value && <Help />}
      {sessionEnded.value && (
        <Dialog title="Your session has ended" onClose={() => undefined} isFixed footer={<button type="button" class="btn main" onClick={() => void findSession()}>I have signed in again</button>}>
          <p>Nothing on this page is lost: it stays as it is behind this message, and goes on when you have signed in again in another tab of this browser.</p>
          <HowToSignIn />
        </Dialog>
      )}
      <Toasts />
    </div>
  )
}

export function App() {
  const [error, setError] = useState<ApiError | null>(null)
  const isSigningIn = path.value === SIGN_IN
  const find = () => {
    setError(null)
    findSession().catch((failed: unknown) => setError(failed as ApiError))
  }
  useEffect(() => { if (!isSigningIn) find() }, [])
  if (isSigningIn) return <SignIn home={home} />
  if (error) return <Card title="The console is not reached"><Failed error={error} again={find} /></Card>
  if (session.value === undefined) return <p class="boot">Loading…</p>
  if (session.value === null) return <Card title="You are not signed in"><HowToSignIn /></Card>
  return <Shell key={session.value.role} role={session.value.role} />
}
