// Inventory files: looked at first, then imported; how far each is, what it refused and why.
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, get, post, api } from '../api'
import type { Import, ImportPreview, ImportState, Imports as ImportList } from '../api-types'
import { useFetched, useLast } from '../fetching'
import { count, duration, words } from '../format'
import { SelectField } from '../ui/field'
import { Empty, Facts, Failed, Loading, Panel, Time } from '../ui/states'
import { toast, toastError } from '../ui/toast'

const STATES: Record<ImportState, string> = { received: 'badge', needs_confirmation: 'badge warn', applying: 'badge', done: 'badge good', cancelled: 'badge', failed: 'badge bad' }
const UNDER_WAY: ImportState[] = ['received', 'applying']

/** What the server takes, by the end of a file's name: browsers know few of these. */
const TYPES: Record<string, string> = { csv: 'text/csv', tsv: 'text/tab-separated-values', txt: 'text/plain', jsonl: 'application/x-ndjson', ndjson: 'application/x-ndjson', json: 'application/ld+json', gz: 'application/gzip', zip: 'application/zip', x12: 'application/edi-x12', edi: 'application/edi-x12' }
const typeOf = (name: string) => TYPES[name.split('.').at(-1)?.toLowerCase() ?? ''] ?? 'application/octet-stream'

const bytes = (size: number) => size < 10_000 ? `${count(size)} B` : size < 10_000_000 ? `${count(size / 1_000)} kB` : `${count(size / 1_000_000)} MB`

interface Change { op?: string; listing?: string; sku?: string; quantity?: number; on_hand?: number; price?: { minor: number; currency: string } }

function Preview({ of }: { of: ImportPreview }) {
  return (
    <div class="preview">
      {of.problem && <p role="alert"><span class="badge bad">{words(of.problem.code)}</span> {of.problem.detail}</p>}
      {of.file && <Facts of={[
        ['Read as', `${of.file.format}, ${of.file.archive === 'plain' ? '' : `${of.file.archive}, `}${of.file.encoding}${of.file.delimiter ? `, parted by ${of.file.delimiter === '\t' ? 'tabs' : of.file.delimiter}` : ''}`],
        ['By the mapping', of.mapping ? <>{of.mapping.name}{of.file.mapping ? '' : ' (proposed from the header)'}</> : of.file.format === 'ndjson' ? 'none: rows in the form of the API' : 'none fits'],
        ...(of.file.header.length > 0 ? [['Columns', <span class="mono">{of.file.header.join(', ')}</span>] as [string, preact.ComponentChildren]] : []),
      ]} />}
      {of.rows.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label="The first rows, table">
          <table class="plain-table">
            <thead><tr><th scope="col" class="num">Line</th><th scope="col">What it becomes</th><th scope="col">Listing</th><th scope="col">SKU</th><th scope="col" class="num">On hand</th></tr></thead>
            <tbody>{of.rows.map(row => {
              const wrong = row.refused ?? row.warning
              const change = row.row as Change | null | undefined
              return <tr key={row.line}><td class="num">{row.line}</td>{wrong
                ? <td colSpan={4}><span class={`badge ${row.refused ? 'bad' : 'warn'}`}>{row.refused ? 'refused' : 'warning'}</span> {wrong.column && <span class="mono">{wrong.column}: </span>}{wrong.detail}</td>
                : <><td>{words(change?.op ?? 'row')}</td><td class="mono nowrap">{change?.listing ?? '–'}</td><td class="mono nowrap">{change?.sku ?? '–'}</td><td class="num">{count(change?.on_hand ?? change?.quantity)}</td></>}</tr>
            })}</tbody>
          </table>
        </div>
      )}
    </div>
  )
}

function Upload({ path, onDone }: { path: string; onDone: (id: string) => void }) {
  const input = useRef<HTMLInputElement>(null)
  const [file, setFile] = useState<File | null>(null)
  const [mode, setMode] = useState('upsert')
  const [preview, setPreview] = useState<ImportPreview | null>(null)
  const [error, setError] = useState<ApiError | null>(null)
  const [isBusy, setBusy] = useState(false)
  // A name of this choice of file: sent twice by a second click, it is one import.
  const [key, setKey] = useState('')
  const begin = useLast()
  /** What is still told of the file before is not shown of this one. */
  const choose = (chosen: File | null) => { begin(); setBusy(false); setFile(chosen); setPreview(null); setError(null); setKey(crypto.randomUUID()) }
  const settings = () => ({ mode, mapping: preview?.mapping && !preview.file?.mapping ? 'proposed' : null })
  const ask = async (run: (text: { type: string; body: Blob }, isLast: () => boolean) => Promise<void>) => {
    const isLast = begin()
    setBusy(true)
    setError(null)
    try { await run({ type: typeOf(file!.name), body: file! }, isLast) } catch (failed) {
      if (isLast()) setError(failed as ApiError)
      else toastError(failed)
    }
    if (isLast()) setBusy(false)
  }
  const look = () => ask(async (text, isLast) => {
    const { data } = await api<ImportPreview>('POST', `${path}/preview`, { text, query: { mode } })
    if (isLast()) setPreview(data)
  })
  const send = () => ask(async (text, isLast) => {
    const { data } = await api<Import>('POST', path, { text, query: settings(), idempotencyKey: `${key}-${mode}` })
    toast('The file is on record; it is applied at your pace.')
    // Who has chosen the next file meanwhile keeps it.
    if (isLast()) {
      if (input.current) input.current.value = ''
      choose(null)
    }
    onDone(data.import)
  })
  return (
    <Panel title="Send a file" note="CSV, TSV, JSON lines, X12 846 or EPCIS 2.0, plain, gzip or zip">
      <div class="body upload">
        <div class="field"><label for="file">Inventory file</label><input ref={input} id="file" type="file" class="input file" onChange={event => choose(event.currentTarget.files?.[0] ?? null)} /></div>
        <SelectField name="mode" label="Listings that it does not name" value={mode} options={[['upsert', 'stay as they are'], ['snapshot', 'are taken off the market']]} onChange={setMode} />
        <div class="row"><button type="button" class="btn" disabled={!file || isBusy} onClick={() => void look()}>Look first</button><button type="button" class="btn main" disabled={!file || isBusy || preview?.problem != null} onClick={() => void send()}>Import</button></div>
        {error && <p role="alert" class="wide"><strong>{error.title}.</strong> {error.detail} {error.fields.map(of => of.detail).join(' ')} <span class="quiet">Code <code>{error.code}</code></span></p>}
      </div>
      {preview && <Preview of={preview} />}
    </Panel>
  )
}

function One({ of, again }: { of: Import; again: () => void }) {
  const { rows, links } = of
  const isUnderWay = UNDER_WAY.includes(of.state)
  const share = rows.to_apply > 0 ? Math.min(1, rows.done / rows.to_apply) : of.state === 'done' ? 1 : 0
  const act = (href: string, said: string) => post(href).then(() => { toast(said); again() }, toastError)
  return (
    <tr data-import={of.import}>
      <td class="nowrap"><Time at={of.created_at} /></td>
      <td><span class={STATES[of.state]}>{words(of.state)}</span> {of.file && <span class="quiet">{of.file.format}{of.mode === 'snapshot' ? ' snapshot' : ''}, {bytes(of.upload_bytes)}</span>}
        {of.problem && <div class="quiet">{of.problem.detail}</div>}
        {of.state === 'needs_confirmation' && of.missing && <div class="quiet">It does not name {count(of.missing.listings)} of your {count(of.missing.of)} listings; they would be taken off the market.</div>}</td>
      <td><progress max={1} value={share} aria-label={`${Math.round(share * 100)} % applied`} /><div class="quiet num">{count(rows.done)} of {count(rows.to_apply)} rows{isUnderWay && of.estimate_seconds ? `, ${duration(of.estimate_seconds * 1_000)} left` : ''}</div></td>
      <td class="num">{count(rows.refused)}</td><td class="num">{count(rows.unchanged)}</td><td class="num">{count(rows.taken_off)}</td>
      <td><span class="row">
        {of.state === 'needs_confirmation' && <button type="button" class="btn small danger" onClick={() => void act(links.confirm, 'It goes on.')}>Go on</button>}
        {(isUnderWay || of.state === 'needs_confirmation') && <button type="button" class="btn small" onClick={() => void act(links.cancel, 'It is cancelled; what was applied stays.')}>Cancel</button>}
        {!isUnderWay && <a class="btn small" href={links.report} download>Report</a>}
      </span></td>
    </tr>
  )
}

export function Imports({ supplier }: { supplier: string }) {
  const path = `/v1/suppliers/${encodeURIComponent(supplier)}/imports`
  const list = useFetched(signal => get<ImportList>(path, { signal }).then(of => of.data.imports), [supplier])
  const isMoving = list.data?.some(of => UNDER_WAY.includes(of.state)) ?? false
  useEffect(() => {
    if (!isMoving) return
    const asks = setInterval(list.again, 1_000)
    return () => clearInterval(asks)
  }, [isMoving])
  return (
    <>
      <Upload path={path} onDone={list.again} />
      <div class="below" />
      <Panel title="Imports" note="those that this node took on">
        {list.error && !list.data ? <Failed error={list.error} again={list.again} /> : !list.data ? <Loading /> : list.data.length === 0 ? <Empty title="No file was imported yet"><p>Choose one above; looking first changes nothing.</p></Empty> : (
          <div class="scroll-x" tabIndex={0} role="region" aria-label="Imports, table">
            <table class="plain-table imports">
              <thead><tr><th scope="col">Sent</th><th scope="col">What</th><th scope="col">Applied</th><th scope="col" class="num">Refused</th><th scope="col" class="num">Unchanged</th><th scope="col" class="num">Taken off</th><th scope="col"><span class="hidden-visually">Actions</span></th></tr></thead>
              <tbody>{list.data.map(of => <One key={of.import} of={of} again={list.again} />)}</tbody>
            </table>
          </div>
        )}
      </Panel>
    </>
  )
}
