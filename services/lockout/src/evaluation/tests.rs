use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{ControlRecord, Envelope, ListingId, Sku, Tick};
use stockade_rules::Feature;

use super::*;

fn schema() -> FeatureSchema {
    let feature = Feature { name: "x.count".to_owned(), unit: "count".to_owned(), meaning: String::new() };
    FeatureSchema::new(vec![feature])
}

const RULES: &str = "
rules:
  - {id: live, title: t, when: x.count >= 3, level: quarantine, scope: listing, for: 1h, reasons: [R], evidence: x.count, mode: live}
  - {id: quiet, title: t, when: x.count >= 2, level: quarantine, for: 1h, reasons: [R], evidence: x.count}
";

struct Bench {
    host: Host<Evaluation>,
    offset: u64,
    effects: Vec<EvaluationEffect>,
}

impl Bench {
    fn new() -> Self {
        let host = Host::new(
            "evaluation",
            Topic::SupplierScores,
            0,
            1,
            1,
            Evaluation::new(Vocabulary::fixed(schema())),
        );
        let mut bench = Self { host, offset: 0, effects: Vec::new() };
        let change = Change::Rules {
            version: RuleSet::version_of(RULES),
            source: RULES.to_owned(),
            base: None,
            note: String::new(),
        };
        bench.apply(0, &Payload::Control(ControlRecord { actor: "a".to_owned(), change }));
        bench
    }
    /// Evidence and cause of what is proposed.
    fn apply(&mut self, at_ms: i64, payload: &Payload) -> Vec<(f64, String)> {
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
                Ok(Payload::Proposal(Proposal::Rule(rule))) => (rule.evidence, cause),
                other => panic!("{other:?}"),
            }
        };
        outputs.into_iter().map(read).collect()
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
    assert!(bench.effects.contains(&EvaluationEffect::ShadowHit { rule: "quiet".to_owned() }));
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
