use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{ControlRecord, Envelope, ListingId, Sku, Tick};
use stockade_rules::{Feature, FeatureSchema};

use super::*;

fn schema() -> FeatureSchema {
    let feature =
        |name: &str| Feature { name: name.to_owned(), unit: "count".to_owned(), ..Feature::default() };
    FeatureSchema::new(vec![feature("x.count"), feature("links.strength")])
}

const RULES: &str = "
rules:
  - {id: live, title: t, when: x.count >= 3, level: quarantine, scope: listing, for: 1h, reasons: [R], evidence: x.count, mode: live}
  - {id: quiet, title: t, when: x.count >= 2, level: quarantine, for: 1h, reasons: [R], evidence: x.count}
";

/// One that replaces `live`, a canary, one with a holdout, and one that may rest on links to others.
const MORE: &str = "
rules:
  - {id: live, title: t, when: x.count >= 3, level: quarantine, for: 1h, reasons: [R], evidence: x.count, mode: live}
  - {id: next, title: t, when: x.count >= 4, level: quarantine, for: 1h, reasons: [R], evidence: x.count, replaces: live}
  - {id: few, title: t, when: x.count >= 100, level: dim, for: 1h, reasons: [R], evidence: x.count, mode: canary, canary_percent: 30}
  - {id: held, title: t, when: x.count >= 200, level: lockout, for: 1h, reasons: [R], evidence: x.count, mode: live, holdout_percent: 40}
  - {id: linked, title: t, when: x.count >= 1 && links.strength > 0.5, level: quarantine, for: 1h, reasons: [R], evidence: x.count, mode: live}
";

struct Bench {
    host: Host<Evaluation>,
    offset: u64,
    effects: Vec<EvaluationEffect>,
}

impl Bench {
    fn new() -> Self {
        Self::with(RULES)
    }
    fn with(rules: &str) -> Self {
        let host = Host::new(
            "evaluation",
            Topic::SupplierScores,
            0,
            1,
            1,
            Evaluation::new(Vocabulary::fixed(schema())),
        );
        let mut bench = Self { host, offset: 0, effects: Vec::new() };
        let (source, base, note) = (rules.to_owned(), None, String::new());
        let change = Change::Rules { version: RuleSet::version_of(rules), source, base, note };
        bench.apply(0, &Payload::Control(ControlRecord { actor: "a".to_owned(), change }));
        bench
    }
    /// Evidence and cause of what rules propose.
    fn apply(&mut self, at_ms: i64, payload: &Payload) -> Vec<(f64, String)> {
        let proposed = self.proposed(at_ms, payload);
        let rule = |(proposal, cause)| match proposal {
            Proposal::Rule(rule) => (rule.evidence, cause),
            other => panic!("{other:?}"),
        };
        proposed.into_iter().map(rule).collect()
    }
    /// What is proposed, with its cause.
    fn proposed(&mut self, at_ms: i64, payload: &Payload) -> Vec<(Proposal, String)> {
        let mut envelope = Envelope::new(payload.kind(), "", "test");
        envelope.cause = Some(Cause { id: format!("c-{at_ms}"), time: Timestamp::from_ms(at_ms) });
        let record = Record {
            offset: self.offset,
            time_ms: at_ms,
            key: Default::default(),
            headers: envelope.headers().into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        let outputs = self.host.apply(&record, &mut self.effects);
        let read = |output: stockade_log::NewRecord| {
            let headers = output.headers.iter().map(|(n, v)| (*n, v.as_bytes()));
            let cause = Envelope::from_headers(headers).unwrap().cause.unwrap().id;
            match Payload::decode("stockade.lockout.proposal", &output.value) {
                Ok(Payload::Proposal(proposal)) => (proposal, cause),
                other => panic!("{other:?}"),
            }
        };
        outputs.into_iter().map(read).collect()
    }
    /// What a vector of a supplier proposes: rule and level, or that links are gone.
    fn of(&mut self, at_ms: i64, supplier: &str, slots: &[f32]) -> Vec<(String, Option<Level>)> {
        let supplier = SupplierId::new(supplier).unwrap();
        let (schema, slots) = (schema().id(), slots.to_vec());
        let score = ScoreRecord { supplier, listing: None, score: 0, schema, slots };
        let proposed = self.proposed(at_ms, &Payload::Score(score));
        let shown = |(proposal, _)| match proposal {
            Proposal::Rule(rule) => (rule.rule.id.to_string(), Some(rule.level)),
            Proposal::Unlinked { rule, .. } => (rule.to_string(), None),
            other => panic!("{other:?}"),
        };
        proposed.into_iter().map(shown).collect()
    }
    /// The counts of a rule in shadow on the first day.
    fn shadow(&self, wanted: &str) -> ShadowDay {
        let found = self.effects.iter().rev().find_map(|effect| match effect {
            EvaluationEffect::Shadow { rule, counts, .. } if rule == wanted => Some(*counts),
            _ => None,
        });
        found.unwrap_or_default()
    }
    fn score(&mut self, at_ms: i64, count: f32) -> Vec<(f64, String)> {
        let listing = Some((ListingId::new("l").unwrap(), Sku::new("s").unwrap()));
        let schema = schema().id();
        let supplier = SupplierId::new("acme").unwrap();
        self.apply(
            at_ms,
            &Payload::Score(ScoreRecord { supplier, listing, score: 0, schema, slots: vec![count] }),
        )
    }
}

#[test]
fn a_true_rule_is_proposed_at_most_once_a_second_and_its_last_word_is_never_lost() {
    let mut bench = Bench::new();
    assert_eq!(bench.score(100, 2.0), []);
    assert_eq!(bench.score(200, 3.0), [(3.0, "c-200".to_owned())]);
    assert_eq!(bench.score(300, 4.0), []);
    assert_eq!(bench.score(400, 5.0), []);
    assert_eq!(bench.host.fold.deadline(), Some(Timestamp::from_ms(1_200)));
    let tick = Payload::Tick(Tick { due: Timestamp::from_ms(1_200) });
    assert_eq!(bench.apply(1_200, &tick), [(5.0, "c-400".to_owned())], "the newest hit, with its own cause");
    assert_eq!(bench.host.fold.deadline(), None);
    assert_eq!(bench.score(2_200, 6.0), [(6.0, "c-2200".to_owned())]);
}

#[test]
fn a_shadow_rule_is_counted_on_the_same_vectors_and_proposes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.score(100, 2.0), []);
    let counts = ShadowDay { hits: 1, suppliers: 1, agreed: 0, only_shadow: 1, only_live: 0 };
    assert_eq!(bench.shadow("quiet"), counts);
    bench.score(1_200, 3.0);
    let counts = ShadowDay { hits: 2, suppliers: 1, agreed: 1, only_shadow: 1, only_live: 0 };
    assert_eq!(bench.shadow("quiet"), counts, "on the second vector the live rule says the same");
}

#[test]
fn unknown_values_and_foreign_schemas_propose_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.score(100, f32::NAN), []);
    let supplier = SupplierId::new("acme").unwrap();
    let foreign = ScoreRecord { supplier, listing: None, score: 0, schema: 1, slots: vec![9.0] };
    assert_eq!(bench.apply(200, &Payload::Score(foreign)), []);
    assert!(bench.effects.contains(&EvaluationEffect::ForeignSchema));
}

#[test]
fn a_rule_that_is_to_replace_another_is_compared_with_that_one() {
    let mut bench = Bench::with(MORE);
    bench.of(100, "acme", &[3.0]);
    bench.of(200, "acme", &[5.0]);
    bench.of(300, "bolt", &[5.0]);
    let counts = ShadowDay { hits: 2, suppliers: 2, agreed: 2, only_shadow: 0, only_live: 1 };
    assert_eq!(bench.shadow("next"), counts);
}

#[test]
fn a_canary_acts_on_its_share_and_is_in_shadow_for_the_rest_and_a_holdout_is_only_dimmed() {
    let mut bench = Bench::with(MORE);
    let (mut canary, mut dimmed, mut locked) = (0, 0, 0);
    for n in 0..300 {
        let proposed = bench.of(100, &format!("s-{n}"), &[500.0]);
        canary += usize::from(proposed.contains(&("few".to_owned(), Some(Level::Dim))));
        dimmed += usize::from(proposed.contains(&("held".to_owned(), Some(Level::Dim))));
        locked += usize::from(proposed.contains(&("held".to_owned(), Some(Level::Lockout))));
    }
    assert_eq!(dimmed + locked, 300);
    assert!((60..130).contains(&canary) && (80..160).contains(&dimmed), "{canary} of 30 %, {dimmed} of 40 %");
    assert_eq!(bench.shadow("few").suppliers, 300 - canary as u64);
}

#[test]
fn when_links_are_gone_the_arbiter_hears_of_what_rested_on_them() {
    let mut bench = Bench::with(MORE);
    let linked = ("linked".to_owned(), Some(Level::Quarantine));
    assert_eq!(bench.of(100, "acme", &[2.0, 0.9]), [linked]);
    assert_eq!(bench.of(2_000, "acme", &[2.0, 0.1]), [("linked".to_owned(), None)]);
    assert_eq!(bench.of(4_000, "acme", &[2.0, 0.1]), [], "once");
}

/// A row as it is stored.
fn bytes(version: &str, source: &str) -> Vec<u8> {
    let mut table = Table::new(0);
    table.insert(String::new(), InForce { version: version.to_owned(), source: source.to_owned() });
    table.encode(&[]).unwrap()
}

#[test]
fn what_earlier_builds_kept_in_force_is_in_force_after_a_restart() {
    let mut fold = Evaluation::new(Vocabulary::fixed(schema()));
    let models = Models { champion: Some("{}".to_owned()), ..Models::default() };
    for (key, version, source) in [("rules", "r", RULES), ("models", "m", &models.to_text())] {
        let mut tables = fold.tables();
        let former = tables.iter_mut().find(|held| held.name() == 1).unwrap();
        former.load(key.as_bytes(), &bytes(version, source)).unwrap();
    }
    let mut told = Vec::new();
    fold.restored(&mut told);
    let (version, source) = ("m".to_owned(), models.to_text());
    assert!(told.contains(&EvaluationEffect::ModelsInForce { version, source }), "{told:?}");
    let (version, source) = ("r".to_owned(), RULES.to_owned());
    assert!(told.contains(&EvaluationEffect::RulesInForce { version, source }), "{told:?}");
    assert_eq!(fold.compiled.rules().len(), 2);
    assert!(fold.former.is_empty());
}

#[test]
fn the_arbiter_hears_which_rules_act_no_more_so_that_nothing_of_theirs_begins_late() {
    let with = |mode: &str, jitter: &str| {
        format!(
            "
{jitter}
rules:
  - {{id: bait, title: t, when: x.count >= 3, level: cap, for: 1h, reasons: [R], evidence: x.count, mode: {mode}}}
  - {{id: other, title: t, when: x.count >= 4, level: dim, for: 1h, reasons: [R], evidence: x.count, mode: live}}
"
        )
    };
    let mut bench = Bench::with(&with("live", "jitter: 10m"));
    assert_eq!(bench.of(100, "acme", &[3.0]).len(), 1);
    assert_eq!(bench.of(200, "acme", &[3.0]).len(), 0, "it waits for its second");
    let mut publish = |at_ms, rules: &str| {
        let (source, base, note) = (rules.to_owned(), None, String::new());
        let change = Change::Rules { version: RuleSet::version_of(rules), source, base, note };
        let told = bench.proposed(at_ms, &Payload::Control(ControlRecord { actor: "a".to_owned(), change }));
        let gone = |(proposal, _)| match proposal {
            Proposal::Gone { rule } => rule.id.to_string(),
            other => panic!("{other:?}"),
        };
        told.into_iter().map(gone).collect::<Vec<_>>()
    };
    assert_eq!(publish(300, &with("shadow", "jitter: 10m")), ["bait"]);
    assert_eq!(publish(400, &with("shadow", "jitter: 5m")), [""; 0], "the same rules");
    assert_eq!(publish(500, &with("shadow", "")), ["other"], "nothing is to wait any more");
    assert_eq!(publish(600, RULES), [""; 0], "so nothing does");
    let tick = Payload::Tick(Tick { due: Timestamp::from_ms(1_100) });
    assert!(bench.proposed(1_100, &tick).is_empty(), "what waited for its second is let go as well");
}
