// A figure with its name and unit, for strips of them.
import { number } from '../format'

export interface FigureProps { name: string; value: number | null | undefined; unit?: string; note?: string; isBad?: boolean }

export function Figure({ name, value, unit, note, isBad }: FigureProps) {
  return (
    <div class={`figure${isBad ? ' bad' : ''}`}>
      <span class="name">{name}</span>
      <span class="value">{number(value)}{unit && value !== null && value !== undefined && <span class="unit"> {unit}</span>}</span>
      <span class="note">{note}</span>
    </div>
  )
}
