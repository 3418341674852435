// What the console's own calls say; the shapes are those of services/console (feed.rs, hub.rs, tallies.rs).
import type { Action, Level } from './api-types'

export interface Row {
  offset: number
  at: string
  supplier: string
  action: Action
  id?: string
  scope?: { kind: 'supplier' | 'region' | 'sku' | 'listing'; region?: string; sku?: string; listing?: string }
  level?: Level
  highest?: Level
  reasons: string[]
  rule?: string
  values: Record<string, number>
  actor?: string
  note?: string
  text?: string
  cause_at?: string
}

export interface Annotation { at: number; kind: 'publish' | 'lockout'; text: string }
export interface Alert { code: string; severity: 'high' | 'low'; text: string }
export interface Tallies {
  actions: Partial<Record<Action, number>>
  rules: Record<string, Partial<Record<Action, number>>>
  reasons: Record<string, number>
}
/** Columns: at each of `at`, in milliseconds, a value or null of each figure. */
export interface History { at: number[]; figures: Record<string, Array<number | null>> }
export interface OverviewStart { history: History; annotations: Annotation[]; tallies: Tallies; alerts: Alert[] }
export interface OverviewNow { second: { at: number; figures: Record<string, number> }; tallies: Tallies; annotations: Annotation[] }
export interface RulesState { version: string; drafts: number; exceeded: string[]; suspect: string[]; stopped: string[]; kill: boolean; four_eyes: boolean }
export interface ReviewsState { open: number; revision: number }
