// The editor itself: a chunk of its own that only a page with an editor loads, by `import('./codemirror')` in editor.tsx.
import { autocompletion, completionKeymap, type CompletionSource } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { bracketMatching, HighlightStyle, indentOnInput, StreamLanguage, syntaxHighlighting } from '@codemirror/language'
import { linter, lintGutter, lintKeymap, type Diagnostic } from '@codemirror/lint'
import { searchKeymap } from '@codemirror/search'
import { EditorState } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'

/** Rule sets are YAML with expressions in it: enough of both to be read at a glance. */
const language = StreamLanguage.define({
  token(stream) {
    if (stream.match(/#.*/)) return 'comment'
    if (stream.sol() && stream.match(/\s*-?\s*[A-Za-z_][\w.-]*(?=\s*:)/)) return 'propertyName'
    if (stream.match(/"(?:[^"\\]|\\.)*"|'[^']*'/)) return 'string'
    if (stream.match(/\d[\d_.]*(?:ms|s|m|h|d|%)?/)) return 'number'
    // Not `in`, `all` or `any`: notes and texts for suppliers are full of them.
    if (stream.match(/(?:true|false|null|attested)\b|&&|\|\|/)) return 'keyword'
    if (stream.match(/[<>=!]=?|[+*/]/)) return 'operator'
    if (stream.match(/[A-Za-z_][\w.]*/)) return 'variableName'
    stream.next()
    return null
  },
})

const colours = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--ink-3)', fontStyle: 'italic' },
  { tag: tags.propertyName, color: 'var(--accent)' },
  { tag: tags.string, color: 'var(--good)' },
  { tag: tags.number, color: 'var(--warn)' },
  { tag: tags.keyword, fontWeight: '700' },
])

const look = EditorView.theme({
  '&': { color: 'var(--ink)', backgroundColor: 'var(--surface)', fontSize: '12.5px', border: '1px solid var(--line-strong)', borderRadius: '6px' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '1px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-gutters': { backgroundColor: 'var(--sunken)', color: 'var(--ink-3)', border: '0' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--accent-soft)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--ink)', border: '1px solid var(--line)', borderRadius: '6px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--accent-ink)' },
})

export interface Options {
  doc: string
  label: string
  onChange: (text: string) => void
  /** Asks the engine's own checker; places are characters from the beginning. */
  check?: (text: string) => Promise<Diagnostic[]>
  complete?: CompletionSource
  isReadOnly?: boolean
}

export function create(parent: HTMLElement, { doc, label, onChange, check, complete, isReadOnly = false }: Options): EditorView {
  // Styles that are added later must bear the nonce of the page, which the browser shows to scripts only as a property.
  const nonce = document.querySelector<HTMLScriptElement>('script[nonce]')?.nonce ?? ''
  return new EditorView({
    parent,
    state: EditorState.create({
      doc,
      extensions: [
        EditorView.cspNonce.of(nonce), lineNumbers(), history(), drawSelection(), indentOnInput(), bracketMatching(), highlightActiveLine(),
        language, syntaxHighlighting(colours), look, EditorState.tabSize.of(2), EditorState.readOnly.of(isReadOnly),
        EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0' }),
        autocompletion(complete ? { override: [complete] } : {}),
        ...(check ? [lintGutter(), linter(view => check(view.state.doc.toString()), { delay: 300 })] : []),
        // Tab indents; Escape, then Tab, leaves.
        keymap.of([...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab]),
        EditorView.updateListener.of(update => { if (update.docChanged) onChange(update.state.doc.toString()) }),
      ],
    }),
  })
}
