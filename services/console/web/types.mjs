// Writes src/api-types.ts from schemas/openapi.json: `node types.mjs`. Run it after the API has changed; tsc then finds what no longer fits.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const document = JSON.parse(readFileSync(join(here, '../../../schemas/openapi.json'), 'utf8'))
const quoted = name => (/^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name))
const about = (schema, indent) => {
  const text = schema?.description?.replace(/\*\//g, '* /').replace(/\s*\n\s*/g, ' ')
  return text ? `${indent}/** ${text} */\n` : ''
}

function type(schema, indent = '') {
  if (schema === true || schema === undefined) return 'unknown'
  if (schema.$ref) return schema.$ref.split('/').pop()
  if ('const' in schema) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map(value => JSON.stringify(value)).join(' | ')
  const choices = schema.oneOf ?? schema.anyOf
  const own = schema.properties ? object(schema, indent) : undefined
  if (choices) {
    const any = [...new Set(choices.map(choice => type(choice, indent)))].join(' | ')
    return own ? `${own} & (${any})` : any
  }
  if (schema.allOf) return [...schema.allOf.map(part => type(part, indent)), ...(own ? [own] : [])].join(' & ')
  if (own) return own
  const kinds = Array.isArray(schema.type) ? schema.type : [schema.type]
  return kinds.map(kind => {
    if (kind === 'array') {
      if (schema.prefixItems) return `[${schema.prefixItems.map(item => type(item, indent)).join(', ')}]`
      return `Array<${type(schema.items, indent)}>`
    }
    if (kind === 'object') return `Record<string, ${typeof schema.additionalProperties === 'object' ? type(schema.additionalProperties, indent) : 'unknown'}>`
    if (kind === 'integer') return 'number'
    return ['string', 'number', 'boolean', 'null'].includes(kind) ? kind : 'unknown'
  }).join(' | ')
}

function object(schema, indent) {
  const inner = indent + '  '
  const required = new Set(schema.required ?? [])
  const fields = Object.entries(schema.properties).map(([name, field]) =>
    `${about(field, inner)}${inner}${quoted(name)}${required.has(name) ? '' : '?'}: ${type(field, inner)}`)
  return `{\n${fields.join('\n')}\n${indent}}`
}

const lines = ['// Written by types.mjs from schemas/openapi.json; change nothing here.\n']
for (const [name, schema] of Object.entries(document.components.schemas).sort(([a], [b]) => (a < b ? -1 : 1))) {
  lines.push(`${about(schema, '')}export type ${name} = ${type(schema)}\n`)
}
writeFileSync(join(here, 'src/api-types.ts'), lines.join('\n'))
