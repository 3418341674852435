// Rules: what each promises, how it fares, and the versions that were in force.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { get, post } from '../api'
import type { Exceeded, RuleHistory, RuleSetVersions, RuleSetVersion, RuleSpec, RuleVersion } from '../api-types'
import { useFetched } from '../fetching'
import { count, words } from '../format'
import { useKeys } from '../keys'
import { RuleLink } from '../links'
import { go, query } from '../router'
import { useChannel } from '../stream'
import type { OverviewNow, RulesState } from '../stream-types'
import { Diff } from '../ui/diff'
import { Dialog } from '../ui/dialog'
import { SearchFilter, SelectFilter } from '../ui/field'
import { Empty, Failed, LevelBadge, Loading, Notice, PageHead, Panel, Time } from '../ui/states'
import { toastError } from '../ui/toast'
import { draft, rulesInForce } from './rules-draft'
import { budget, came, heldBy, KillSwitch, ModeBadge, MODES, promise, Waiting, WhyDialog } from './rules-parts'

/** Histories asked for at once: a set may have hundreds of rules, and others ask too. */
const AT_ONCE = 4

/** How each rule has fared in 30 days, as it comes in. */
function useHistories(ids: string[]): Map<string, RuleHistory> {
  const [found, setFound] = useState(new Map<string, RuleHistory>())
  useEffect(() => {
    const stop = new AbortController()
    const waiting = [...ids]
    const next = async (): Promise<void> => {
      const id = waiting.shift()
      if (id === undefined || stop.signal.aborted) return
      const data = await get<RuleHistory>(`/v1/rules/${encodeURIComponent(id)}/history`, { signal: stop.signal }).then(of => of.data, () => undefined)
      if (data) setFound(was => new Map(was).set(id, data))
      return next()
    }
    for (let at = 0; at < AT_ONCE; at++) void next()
    return () => stop.abort()
  }, [ids.join()])
  return found
}

const orDash = (value: number | undefined) => value === undefined ? <span class="dim">–</span> : count(value)

function List({ rules, all, budgetOfAll, exceeded }: { rules: RuleSpec[]; all: string[]; budgetOfAll: string; exceeded: Record<string, Exceeded> }) {
  const day = useChannel<OverviewNow>('overview').value?.tallies.rules
  const histories = useHistories(all)
  if (rules.length === 0) return <Empty title="No rule fits these filters"><p>Take a filter off, or press Back.</p></Empty>
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Rules, table">
      <table class="plain-table">
        <thead><tr>
          <th scope="col">Rule</th><th scope="col">Mode</th><th scope="col">Level</th><th scope="col" class="num">Hits, 24 h</th>
          <th scope="col" class="num">Confirmed</th><th scope="col" class="num">Overturned</th><th scope="col" class="num">Right</th>
          <th scope="col">Promise</th><th scope="col">Budget</th>
        </tr></thead>
        <tbody>{rules.map(rule => {
          const of = histories.get(rule.id)
          return (
            <tr key={rule.id}>
              <td class="rule-name"><RuleLink id={rule.id} /><div class="quiet">{rule.title}</div></td>
              <td><ModeBadge rule={rule} /></td><td><LevelBadge level={rule.level} /></td>
              <td class="num">{day ? orDash(day[rule.id]?.imposed) : <span class="dim">–</span>}</td>
              <td class="num">{orDash(of?.confirmed)}</td><td class="num">{orDash(of?.released)}</td>
              <td class="num">{of?.precision === null || of?.precision === undefined ? <span class="dim">–</span> : `${Math.round(of.precision * 100)} %`}</td>
              <td class="nowrap">{promise(rule) || <span class="dim">none</span>}</td>
              <td class="nowrap">{exceeded[rule.id] ? <span class="badge bad">{heldBy(exceeded[rule.id]!)}</span> : budget(rule.budget) || <span class="dim">{budgetOfAll}</span>}</td>
            </tr>
          )
        })}</tbody>
      </table>
    </div>
  )
}

function Versions({ inForce, source, again }: { inForce: string; source: string; again: () => void }) {
  const versions = useFetched(signal => get<RuleSetVersions>('/v1/rules/versions', { signal }).then(of => of.data), [], [inForce])
  const [looked, setLooked] = useState<{ source: string; of: RuleSetVersion } | null>(null)
  const [isBack, setBack] = useState<RuleSetVersion | null>(null)
  const look = (of: RuleSetVersion) => void get<RuleVersion>(`/v1/rules/versions/${of.version}`).then(({ data }) => setLooked({ source: data.source, of }), toastError)
  const back = async (to: string, reason: string) => {
    const { status, data } = await post<unknown>('/v1/rules:rollback', { reason, to })
    again()
    return came(status, data, `Version ${to} is in force again.`)
  }
  if (versions.error && !versions.data) return <Failed error={versions.error} again={versions.again} />
  if (!versions.data) return <Loading lines={3} />
  return (
    <>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Versions, table">
        <table class="plain-table">
          <thead><tr><th scope="col">Version</th><th scope="col">Since</th><th scope="col">By</th><th scope="col">Approved by</th><th scope="col">Why</th><th scope="col">Compare</th></tr></thead>
          <tbody>{versions.data.versions.map(of => (
            <tr key={of.version}>
              <td class="mono nowrap">{of.version}</td><td class="nowrap"><Time at={of.at} /></td><td>{of.author}</td><td>{of.approver ?? <span class="dim">–</span>}</td><td>{of.note || <span class="dim">–</span>}</td>
              <td class="nowrap">{of.version === inForce ? <span class="badge good">in force</span> : <button type="button" class="btn small" aria-label={`Compare version ${of.version}`} onClick={() => look(of)}>Compare, go back</button>}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {looked && !isBack && (
        <Dialog title={`What going back to ${looked.of.version} would change`} onClose={() => setLooked(null)} footer={<button type="button" class="btn danger" onClick={() => { setBack(looked.of); setLooked(null) }}>Roll back to it</button>}>
          <Diff before={source} after={looked.source} />
        </Dialog>
      )}
      {isBack && (
        <WhyDialog title={`Roll back to ${isBack.version}`} verb="Roll back" isDanger act={reason => back(isBack.version, reason)} onClose={() => setBack(null)}>
          <p>To the version just before, one person may alone, once, and everybody sees it; to others as if it were published.</p>
        </WhyDialog>
      )}
    </>
  )
}

/** The budget of all rules, as it stands in the text. */
const budgetOfSet = (source: string) => /^budget:\s*\{?(.*?)\}?\s*$/m.exec(source)?.[1]?.trim().replace(/\s+/g, ' ') ?? ''

export default function Rules() {
  const state = useChannel<RulesState>('rules').value
  const revision = `${state?.version}${state?.kill}${state?.drafts}${state?.exceeded.join()}|${state?.suspect.join()}|${state?.stopped.join()}`
  const set = useFetched(rulesInForce, [], [revision])
  useKeys(useMemo(() => [{ keys: 'e', label: 'Edit the rules', run: () => go('/console/rules/edit') }], []))
  const of = set.data
  if (!of) return <><PageHead title="Rules" />{set.error ? <Failed error={set.error} again={set.again} /> : <Loading lines={12} />}</>
  const at = query.value
  const text = (at.get('q') ?? '').toLowerCase()
  const rules = of.rules.filter(rule =>
    (!at.get('mode') || rule.mode === at.get('mode')) && (!at.get('level') || rule.level === at.get('level'))
    && (!text || [rule.id, rule.title, rule.when, rule.owner, ...rule.reasons].some(part => part.toLowerCase().includes(text))))
  const whole = budgetOfSet(of.source)
  return (
    <>
      <PageHead title="Rules" note={<>version <span class="mono" data-testid="version">{of.version}</span>, {count(of.rules.length)} rules{whole && `, together at most ${whole.replace('suppliers: ', '').replace(', per: ', ' suppliers in ')}`}</>}>
        {!of.kill_switch && <KillSwitch kill={null} again={set.again} />}
        <a class="btn main" href="/console/rules/edit">{draft() ? 'Go on editing' : 'Edit'} <kbd>e</kbd></a>
      </PageHead>
      {of.kill_switch && <KillSwitch kill={of.kill_switch} again={set.again} />}
      {of.stepped_back && <Notice kind="low">{of.stepped_back.actor} rolled back to this version alone, <Time at={of.stepped_back.at} />: {of.stepped_back.reason}</Notice>}
      <Waiting source={of.source} again={set.again} revision={revision} />
      {set.error && <Notice kind="low">{set.error.title}: {set.error.detail} What is shown may be old.</Notice>}
      <div class="filters">
        <SearchFilter label="Rule, condition, evidence or owner" />
        <SelectFilter name="mode" label="Mode" options={MODES.map(([name]) => [name, name])} />
        <SelectFilter name="level" label="Level" options={[...new Set(of.rules.map(rule => rule.level))].map(level => [level, words(level)])} />
      </div>
      <Panel title="In force" note="overturned and confirmed by people: 30 days"><List rules={rules} all={of.rules.map(rule => rule.id)} budgetOfAll="shared" exceeded={of.exceeded} /></Panel>
      <div class="rules-versions"><Panel title="Versions" note="the newest first"><Versions inForce={of.version} source={of.source} again={set.again} /></Panel></div>
    </>
  )
}
