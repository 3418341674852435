// All pages. A page is one file here and one line below; what is not listed does not exist for navigation, links and tests.
import type { FunctionComponent } from 'preact'
import type { SignedIn } from '../api'
import { match, path } from '../router'

export type RoleName = SignedIn['role']
export interface PageProps { params: Record<string, string> }
export interface Page {
  /** What links and tests call it. */
  name: string
  title: string
  /** Parts that begin with a colon are parameters. */
  path: string
  roles: RoleName[]
  /** Its place in navigation: a group, and the letter after `g` that goes there. Pages without are reached by links. */
  nav?: { group: 'Watch' | 'Decide' | 'Rules' | 'Run' | 'Yours'; key: string }
  load: () => Promise<{ default: FunctionComponent<PageProps> }>
}

export const STAFF: RoleName[] = ['analyst', 'approver', 'operator']

export const PAGES: Page[] = [
  { name: 'overview', title: 'Overview', path: '/console/overview', roles: STAFF, nav: { group: 'Watch', key: 'o' }, load: () => import('./overview') },
  { name: 'live', title: 'Live', path: '/console/live', roles: STAFF, nav: { group: 'Watch', key: 'l' }, load: () => import('./live') },
  { name: 'review', title: 'Review', path: '/console/review', roles: STAFF, nav: { group: 'Decide', key: 'v' }, load: () => import('./review') },
  { name: 'bulk', title: 'Release in bulk', path: '/console/review/bulk', roles: STAFF, load: () => import('./bulk') },
  { name: 'explain', title: 'Explain', path: '/console/decisions/:id', roles: STAFF, load: () => import('./explain') },
  { name: 'supplier', title: 'Supplier', path: '/console/suppliers/:id', roles: STAFF, load: () => import('./supplier') },
  { name: 'impact', title: 'Impact', path: '/console/suppliers/:id/impact', roles: STAFF, load: () => import('./impact') },
  { name: 'rules', title: 'Rules', path: '/console/rules', roles: STAFF, nav: { group: 'Rules', key: 'r' }, load: () => import('./rules') },
  { name: 'rules-edit', title: 'Edit rules', path: '/console/rules/edit', roles: STAFF, load: () => import('./rules-edit') },
  { name: 'rule', title: 'Rule', path: '/console/rule/:id', roles: STAFF, load: () => import('./rule') },
  { name: 'backtest', title: 'Backtest', path: '/console/backtest', roles: STAFF, nav: { group: 'Rules', key: 'b' }, load: () => import('./backtest') },
  { name: 'models', title: 'Models', path: '/console/models', roles: STAFF, nav: { group: 'Rules', key: 'm' }, load: () => import('./models') },
  { name: 'operations', title: 'Operations', path: '/console/operations', roles: ['operator'], nav: { group: 'Run', key: 'p' }, load: () => import('./operations') },
  { name: 'standing', title: 'Your standing', path: '/console/standing', roles: ['supplier'], nav: { group: 'Yours', key: 's' }, load: () => import('./standing') },
  { name: 'availability', title: 'Availability', path: '/console/availability', roles: [...STAFF, 'buyer'], nav: { group: 'Yours', key: 'a' }, load: () => import('./availability') },
]

export const pagesOf = (role: RoleName): Page[] => PAGES.filter(page => page.roles.includes(role))

/** The page of the address, with its parameters. */
export function pageHere(role: RoleName): { page: Page; params: Record<string, string> } | undefined {
  for (const page of pagesOf(role)) {
    const params = match(page.path, path.value)
    if (params) return { page, params }
  }
  return undefined
}

/** The address of a page by name, such as `linkTo('explain', { id })`; undefined where there is no such page for the role. */
export function linkTo(role: RoleName | undefined, name: string, params: Record<string, string> = {}, query?: Record<string, string>): string | undefined {
  const page = PAGES.find(of => of.name === name && (!role || of.roles.includes(role)))
  if (!page) return undefined
  const address = page.path.replace(/:(\w+)/g, (_, part: string) => encodeURIComponent(params[part] ?? ''))
  return query ? `${address}?${new URLSearchParams(query)}` : address
}
