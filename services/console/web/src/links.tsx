// Links to what is talked about everywhere. Where its page is not there for this role, it is text.
import { session } from './api'
import { linkTo } from './pages'

const to = (name: string, params: Record<string, string>) => linkTo(session.value?.role, name, params)

export function SupplierLink({ id }: { id: string }) {
  const href = to('supplier', { id })
  return href ? <a href={href} class="mono">{id}</a> : <span class="mono">{id}</span>
}

export function RuleLink({ id }: { id: string }) {
  const href = to('rule', { id })
  return href ? <a href={href} class="mono">{id}</a> : <span class="mono">{id}</span>
}

/** The address that explains a decision, if there is a page that does. */
export const explains = (id: string): string | undefined => to('explain', { id })
