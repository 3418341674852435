// Signing in: the token stands behind `#`, is handed over by POST, and is gone from the address before anything else happens.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, post, session, sessionEnded, type SignedIn } from '../api'
import { go } from '../router'
import { Loading } from '../ui/states'

const COMMAND = 'stockade console link --role analyst --name ada'

export function Card({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return <main class="gate" id="main"><div class="card"><h1>{title}</h1>{children}</div></main>
}

export function HowToSignIn() {
  return <><p>Whoever runs the server makes a link for you, which signs in once:</p><pre>{COMMAND}</pre><p class="quiet">Keys are never typed in here. Open the link in this browser and you are in.</p></>
}

let tried: Promise<SignedIn> | undefined

async function signIn(): Promise<SignedIn> {
  const token = location.hash.slice(1)
  history.replaceState(null, '', location.pathname)
  // A page that a browser loads ahead of its reader must not use the link up.
  if ((document as { prerendering?: boolean }).prerendering) await new Promise(shown => document.addEventListener('prerenderingchange', shown, { once: true }))
  if (!token) throw new ApiError(0, 'no_token', 'This is not a whole link', 'What stands behind # is missing. Copy the whole link and open it again.')
  return (await post<SignedIn>('/console/api/session', { token })).data
}

export default function SignIn({ home }: { home: (role: SignedIn['role']) => string }) {
  const [error, setError] = useState<ApiError | null>(null)
  useEffect(() => {
    tried ??= signIn()
    tried.then(
      data => {
        session.value = data
        sessionEnded.value = false
        go(home(data.role), { replace: true })
      },
      (failed: unknown) => setError(failed instanceof ApiError ? failed : new ApiError(0, 'page_failed', 'Signing in failed', String(failed))),
    )
  }, [])
  if (!error) return <Card title="Signing in"><Loading lines={2} label="Signing in" /></Card>
  return <Card title="You are not signed in"><p role="alert">{error.detail.charAt(0).toUpperCase() + error.detail.slice(1)}.</p><HowToSignIn /><p class="quiet">Code <code>{error.code}</code></p></Card>
}
