// Fields of forms, with what the server says is wrong with each (`error.field(name)`), and filters that live in the address.
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useKeys } from '../keys'
import { query, setQuery } from '../router'

interface Base { name: string; label: string; hint?: ComponentChildren; error?: string; required?: boolean }

function Around({ name, label, hint, error, required, children }: Base & { children: ComponentChildren }) {
  return (
    <div class="field">
      <label for={name}>{label}{required && <span class="dim"> (needed)</span>}</label>
      {children}
      {hint && <span class="hint" id={`${name}-hint`}>{hint}</span>}
      {error && <span class="error" id={`${name}-error`} role="alert">{error}</span>}
    </div>
  )
}

const described = ({ name, hint, error }: Base) => [hint && `${name}-hint`, error && `${name}-error`].filter(Boolean).join(' ') || undefined

export function TextField(props: Base & { value: string; onInput: (value: string) => void; type?: 'text' | 'number' | 'email' | 'datetime-local'; lines?: number; placeholder?: string }) {
  const { name, value, onInput, type = 'text', lines, error, required, placeholder } = props
  const common = { id: name, name, value, required, placeholder, 'aria-invalid': error ? true : undefined, 'aria-describedby': described(props) }
  return (
    <Around {...props}>
      {lines
        ? <textarea class="area" rows={lines} {...common} onInput={event => onInput(event.currentTarget.value)} />
        : <input class="input" {...(common as object)} type={type as 'text'} onInput={event => onInput(event.currentTarget.value)} />}
    </Around>
  )
}

export function SelectField(props: Base & { value: string; options: Array<[string, string]>; onChange: (value: string) => void }) {
  return (
    <Around {...props}>
      <select class="select" id={props.name} name={props.name} value={props.value} aria-describedby={described(props)} onChange={event => props.onChange(event.currentTarget.value)}>
        {props.options.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
      </select>
    </Around>
  )
}

/** A search whose text is a parameter of the address; `/` goes there. */
export function SearchFilter({ name = 'q', label }: { name?: string; label: string }) {
  const node = useRef<HTMLInputElement>(null)
  const inAddress = query.value.get(name) ?? ''
  const [text, setText] = useState(inAddress)
  // By the address as it is, not as it was when this was drawn: the next letter may have come in between.
  useEffect(() => setText(query.peek().get(name) ?? ''), [inAddress])
  useKeys(useMemo(() => [{ keys: '/', label, run: () => node.current?.focus() }], [label]))
  return (
    <input ref={node} class="input grow" type="search" placeholder={label} aria-label={label} value={text}
      onKeyDown={event => { if (event.key === 'Escape') event.currentTarget.blur() }}
      onInput={event => { setText(event.currentTarget.value); setQuery({ [name]: event.currentTarget.value }, { typing: true }) }} />
  )
}

/** A choice that is a parameter of the address. */
export function SelectFilter({ name, label, options }: { name: string; label: string; options: Array<[string, string]> }) {
  return (
    <select class="select" aria-label={label} value={query.value.get(name) ?? ''} onChange={event => setQuery({ [name]: event.currentTarget.value })}>
      <option value="">{label}: all</option>
      {options.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
    </select>
  )
}

/** A filter that is on, with a way to take it off. */
export function FilterChip({ name, label }: { name: string; label: string }) {
  const value = query.value.get(name)
  if (!value) return null
  return <span class="chip">{label} {value}<button type="button" aria-label={`Take the filter ${label} ${value} off`} onClick={() => setQuery({ [name]: null })}>✕</button></span>
}
