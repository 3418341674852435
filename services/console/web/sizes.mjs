// Fails when what a browser loads first, or that with the editor, has outgrown its bound. Counts gzip, as it is served.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const INITIAL_BYTES_MAX = 200_000
const WITH_EDITOR_BYTES_MAX = 400_000

const here = dirname(fileURLToPath(import.meta.url))
const { outputs } = JSON.parse(readFileSync(join(here, 'node_modules/.build.json'), 'utf8'))
const gzip = path => gzipSync(readFileSync(join(here, path)), { level: 9 }).length

const [entry, of] = Object.entries(outputs).find(([, file]) => file.entryPoint?.endsWith('src/main.tsx'))
const isEditor = path => Object.keys(outputs[path]?.inputs ?? {}).some(input => input.includes('@codemirror/'))
/** A file and what it needs at once; what it may need later only with `later`. */
function reach(path, found = new Set()) {
  if (found.has(path) || !outputs[path]) return found
  found.add(path)
  for (const next of outputs[path].imports) if (next.kind === 'import-statement') reach(next.path, found)
  return found
}
const initial = [...reach(entry), of.cssBundle]
// Every page but the editor counts: whoever keeps the console open loads them all.
const pages = Object.keys(outputs).filter(path => !isEditor(path))
const editor = Object.keys(outputs).filter(isEditor)
const sum = paths => paths.reduce((bytes, path) => bytes + gzip(path), 0)
const figures = { first: sum(initial), pages: sum(pages), all: sum(pages) + sum(editor) }
console.log(`first load ${figures.first} B, all pages ${figures.pages} B, with the editor ${figures.all} B (gzip)`)
if (editor.some(path => initial.includes(path))) throw new Error('the editor is part of the first load; import it with import()')
if (figures.pages > INITIAL_BYTES_MAX) throw new Error(`all pages without the editor are over ${INITIAL_BYTES_MAX} B`)
if (figures.all > WITH_EDITOR_BYTES_MAX) throw new Error(`with the editor it is over ${WITH_EDITOR_BYTES_MAX} B`)
