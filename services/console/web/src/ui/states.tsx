// The states that every view has: loading, empty, failed. And the small things that stand everywhere.
import type { ComponentChildren } from 'preact'
import type { ApiError } from '../api'
import type { Action, Level } from '../api-types'
import { time, utc, words } from '../format'
import { freshness } from '../stream'

/** Grey lines in the place of what comes, as many as it will take, so that nothing jumps. */
export function Loading({ lines = 4, label = 'Loading' }: { lines?: number; label?: string }) {
  return <div class="bones" role="status" aria-label={label}>{Array.from({ length: lines }, (_, index) => <i key={index} />)}</div>
}

/** Nothing is there: says so, why, and what would bring something. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="state"><h2>{title}</h2>{children}</div>
}

/** The code of what this process does not serve: with roles apart, another one does. */
export const NO_PATH = 'no_such_path'

/** What went wrong, what to do next, and the code that support and scripts know it by. */
export function Failed({ error, again }: { error: ApiError; again?: () => void }) {
  if (error.code === NO_PATH) return <Empty title="Another process answers that"><p>This console is served by a process of another role. Let a gateway send <code>/v1/suppliers</code> to one of the role inventory, or run both roles in one.</p></Empty>
  return (
    <div class="state" role="alert">
      <h2>{error.title}</h2>
      <p>{error.detail}</p>
      <p class="quiet">Code <code>{error.code}</code></p>
      {again && <button class="btn" onClick={again}>Try again</button>}
    </div>
  )
}

/** A line above a page that goes on working. */
export function Notice({ kind = 'info', children, action }: { kind?: 'info' | 'low' | 'high'; children: ComponentChildren; action?: ComponentChildren }) {
  return <div class={`notice ${kind}`} role={kind === 'high' ? 'alert' : 'status'}><span>{children}</span>{action && <span class="push">{action}</span>}</div>
}

/** A moment in the viewer's zone; UTC when one rests on it. */
export function Time({ at }: { at: string | number }) {
  return <time dateTime={new Date(at).toISOString()} title={utc(at)}>{time(at)}</time>
}

/** How hard a restriction is: by word first, by colour as well. */
export function LevelBadge({ level }: { level: Level }) {
  return <span class={`badge ${level}`}>{level}</span>
}

const MILDER: Action[] = ['released', 'expired', 'cured', 'dismissed', 'lowered', 'allowed', 'unlinked']

/** What happened, in words; what eases is green. */
export function ActionWord({ action }: { action: Action }) {
  return <span class={MILDER.includes(action) ? 'badge good' : action === 'over_budget' ? 'badge warn' : 'badge'}>{words(action)}</span>
}

/** Whether what is shown is live, and else how far it is behind. */
export function Fresh() {
  const { kind, text } = freshness.value
  return <span class={`fresh ${kind === 'live' ? '' : kind}`} role="status" data-fresh={kind}><i aria-hidden="true" />{text}</span>
}

/** The head of a page: its name, and what it does on the right. */
export function PageHead({ title, children, note }: { title: string; note?: ComponentChildren; children?: ComponentChildren }) {
  return <div class="page-head"><h1 tabIndex={-1}>{title}</h1>{note && <span class="quiet">{note}</span>}{children && <div class="push">{children}</div>}</div>
}

export function Panel({ title, note, action, children, class: name = '' }: { title: string; note?: ComponentChildren; action?: ComponentChildren; children: ComponentChildren; class?: string }) {
  return (
    <section class={`panel ${name}`} aria-label={title}>
      <header><h2>{title}</h2>{note && <span class="quiet">{note}</span>}{action && <span class="push">{action}</span>}</header>
      {children}
    </section>
  )
}

/** One of a few ways to see the same. */
export function Segments<T extends string>({ label, options, value, onChange }: { label: string; options: Array<[T, string]>; value: T; onChange: (value: T) => void }) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([name, text]) => <button key={name} type="button" aria-pressed={value === name} onClick={() => onChange(name)}>{text}</button>)}
    </div>
  )
}

/** Names and values. */
export function Facts({ of }: { of: Array<[string, ComponentChildren]> }) {
  return <dl class="facts">{of.map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={name + '='}>{value}</dd>])}</dl>
}
