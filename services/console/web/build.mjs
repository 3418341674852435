// Builds the pages into `dist`, which is committed and embedded. Same source and same lock file, same bytes.
//   node build.mjs            writes dist
//   node build.mjs --out DIR  writes elsewhere, for the check that dist is what the source makes
//   node build.mjs --watch    builds again at each change; serve with CONSOLE_DIST=…/dist
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const at = process.argv.indexOf('--out')
const out = at > 0 ? process.argv[at + 1] : join(here, 'dist')

/** The page names its files, which are named by what is in them. */
function page(metafile) {
  const files = Object.entries(metafile.outputs)
  const [script, entry] = files.find(([, file]) => file.entryPoint?.endsWith('src/main.tsx'))
  const url = path => `/console/assets/${basename(path)}`
  const first = entry.imports.filter(of => of.kind === 'import-statement').map(of => url(of.path))
  const html = readFileSync(join(here, 'src/index.html'), 'utf8')
    .replaceAll('{{style}}', url(entry.cssBundle))
    .replaceAll('{{script}}', url(script))
    .replaceAll('{{preload}}', first.map(path => `<link rel="modulepreload" href="${path}">`).join(''))
  writeFileSync(join(out, 'index.html'), html)
  writeFileSync(join(here, 'node_modules/.build.json'), JSON.stringify({ out, outputs: metafile.outputs }))
}

const options = {
  absWorkingDir: here,
  entryPoints: ['src/main.tsx'],
  outdir: join(out, 'assets'),
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['chrome109', 'firefox115', 'safari16.4'],
  minify: true,
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  metafile: true,
  logLevel: 'warning',
  plugins: [{
    name: 'page',
    setup(build) {
      build.onStart(() => {
        rmSync(out, { recursive: true, force: true })
        mkdirSync(join(out, 'assets'), { recursive: true })
      })
      build.onEnd(result => { if (result.errors.length === 0) page(result.metafile) })
    },
  }],
}

if (process.argv.includes('--watch')) {
  const context = await esbuild.context(options)
  await context.watch()
} else {
  await esbuild.build(options)
}
