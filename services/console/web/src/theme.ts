import { computed, effect, signal } from '@preact/signals'
import { remembered } from './fetching'

/** `system` follows the machine. */
export const theme = remembered<'system' | 'light' | 'dark'>('stockade-theme', 'system')
const machine = matchMedia('(prefers-color-scheme: dark)')
const machineIsDark = signal(machine.matches)
machine.addEventListener('change', event => { machineIsDark.value = event.matches })
export const isDark = computed(() => theme.value === 'dark' || (theme.value === 'system' && machineIsDark.value))

effect(() => {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
})

/** The value of a token as it is now, for what is drawn on a canvas. */
export const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
