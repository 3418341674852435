// What somebody is writing: kept in the tab's own storage, so that neither a reload, a lost session nor a refusal loses it.
import { signal } from '@preact/signals'
import { ApiError, get, post, session } from '../api'
import type { Features, RuleSet, RuleSetInForce } from '../api-types'

export interface Written {
  text: string
  /** The version that it was written on, and its text. */
  base: string
  baseText: string
  /** What it was published or saved for, if that was said. */
  note?: string
}

const place = () => `stockade.rules.${session.value?.name ?? ''}`
const written = signal<Written | null | undefined>(undefined)

/** What is being written; null while nothing is. */
export function draft(): Written | null {
  if (written.value === undefined) {
    let kept: Written | null = null
    try { kept = JSON.parse(sessionStorage.getItem(place()) ?? 'null') } catch { /* Storage may be off: the text then lasts as long as the tab. */ }
    written.value = kept
  }
  return written.value ?? null
}

/** Keeps what is being written; what is as the version it was written on is not kept. */
export function keep(next: Written | null): void {
  const isChanged = next && next.text !== next.baseText
  written.value = isChanged ? next : null
  try {
    if (isChanged) sessionStorage.setItem(place(), JSON.stringify(next))
    else sessionStorage.removeItem(place())
  } catch { /* See above. */ }
}

const yaml = (body: string) => ({ text: { type: 'application/yaml', body } })
export const rulesInForce = (signal?: AbortSignal) => get<RuleSetInForce>('/v1/rules', { signal }).then(of => of.data)
export const checkRules = (text: string, signal?: AbortSignal) => post<RuleSet>('/v1/rules:check', undefined, { ...yaml(text), signal }).then(of => of.data)
export const yamlBody = yaml

export interface Fault { line: number; column: number; code: string; rule?: string; detail: string; isWarning?: boolean }

/** What the checker says, at its place: `/rules/NAME:LINE:COLUMN`, both from 1. */
export function faultsOf(error: ApiError): Fault[] {
  return error.fields.map(({ field, code, detail }) => {
    const found = /^\/rules(?:\/(.*?))?:(\d+):(\d+)$/.exec(field)
    return { line: Number(found?.[2] ?? 1), column: Number(found?.[3] ?? 1), rule: found?.[1], code, detail }
  })
}

export const warningsOf = (set: RuleSet): Fault[] =>
  set.warnings.map(of => ({ line: of.source_line ?? 1, column: of.source_column ?? 1, code: of.code, rule: of.rule ?? undefined, detail: of.detail, isWarning: true }))

/** How long what is wrong is, from its place: what the message quotes if that stands there, else the word. */
export function spanOf(text: string, { line, column, detail }: Fault): { from: number; to: number } {
  const lines = text.split('\n')
  const before = lines.slice(0, line - 1).reduce((sum, of) => sum + of.length + 1, 0)
  const here = lines[line - 1] ?? ''
  // Columns count characters, places in the editor count UTF-16 units.
  const skip = [...here].slice(0, column - 1).join('').length
  const from = Math.min(text.length, before + skip)
  const rest = here.slice(skip)
  const quoted = /^at `([^`]+)`/.exec(detail)?.[1]
  const length = quoted && rest.startsWith(quoted) ? quoted.length : /^[\w.]+/.exec(rest)?.[0].length ?? (rest.length > 0 ? 1 : 0)
  return { from, to: from + length }
}

let features: Promise<Features> | undefined
/** What rules may read. */
export function featuresInForce(): Promise<Features> {
  features ??= get<Features>('/v1/features').then(of => of.data, error => { features = undefined; throw error })
  return features
}
