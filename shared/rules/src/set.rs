//! A compiled rule set.

use std::{collections::BTreeMap, fmt, sync::Arc};

use sha2::Digest as _;
use stockade_model::Budget;

use crate::{
    Binding, Explanation, FeatureSchema, Mode, RuleError, RuleSpec, Scratch, SetSpec, Snapshot, Truth,
    analysis::{self, Analysis},
    compile::Compiler,
    condition::{self, Lets},
    explain,
    index::Index,
    lang::{Expr, Flaw, Kind},
    lint::lint,
    places::locate,
    program::{Id, Program},
    promise,
    range::Conjunction,
    spec::{self, BudgetSpec, parse_duration_ms},
};

/// Features of this group say with whom a supplier is associated.
const ASSOCIATION: &str = "links.";
/// The field that a bound is promised in.
const FALSE_ALARMS: &str = "false_alarms";

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written.
    pub spec: RuleSpec,
    /// Content hash of the rule, hex, 16 digits: the same in every set in which it is written the same.
    pub content: String,
    /// How long a hit holds, in milliseconds.
    pub duration_ms: i64,
    /// How much it may withhold.
    pub budget: Option<Budget>,
    expr: Expr,
    root: Id,
    conjunction: Conjunction,
    reads: Vec<usize>,
    /// Whether it withholds offers and reads links to others.
    guarded: bool,
    evidence_slot: usize,
    /// Under what it ends before its time.
    cure: Option<Expr>,
}

impl Rule {
    /// Whether the mode and the date let it be evaluated.
    pub fn is_on(&self, now_ms: i64) -> bool {
        self.spec.mode != Mode::Off && self.spec.expires.is_none_or(|expires| now_ms < expires.ms())
    }

    /// Whether it acts on this supplier: live, or canary and one of its share.
    pub fn acts_on(&self, supplier: &str) -> bool {
        match self.spec.mode {
            Mode::Live => true,
            Mode::Canary => {
                self.spec.canary_percent.is_some_and(|share| self.share(supplier, "canary") < share)
            }
            Mode::Off | Mode::Shadow => false,
        }
    }

    /// The slots it reads.
    pub fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// Whether this supplier is of the share that is only dimmed.
    pub fn holds_out(&self, supplier: &str) -> bool {
        self.spec.holdout_percent.is_some_and(|share| self.share(supplier, "holdout") < share)
    }

    /// A number from 0 to 100 that is always the same for one supplier and rule.
    fn share(&self, supplier: &str, what: &str) -> f64 {
        let hash = stockade_model::hash::stable64(&format!("{what}/{}/{supplier}", self.spec.id));
        (hash % 1_000_000) as f64 / 10_000.0
    }
}

/// An immutable, content-hashed set of rules.
#[derive(Clone)]
pub struct RuleSet {
    /// Content hash of the source, hex, 16 digits.
    pub version: String,
    /// How much all rules together may withhold.
    pub budget: Option<Budget>,
    /// How many suppliers all rules together may newly restrict without withholding them, where the set says so.
    pub budget_of_caps: Option<Budget>,
    /// Up to how many milliseconds later what withholds nothing begins.
    pub jitter_ms: i64,
    /// How many suppliers restricted by one kind of evidence are never too many, where the set says so.
    pub trust_up_to: Option<u32>,
    rules: Vec<Rule>,
    schema: Arc<FeatureSchema>,
    program: Program,
    index: Index,
    /// Whether the index alone says which rules hold: there is nothing in them but tests.
    plain: bool,
    /// Numbers of the rules that are to replace another.
    replacing: Vec<usize>,
    warnings: Vec<RuleError>,
    /// Rules that can never be true, whatever the features are.
    contradictions: Vec<RuleError>,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule set {} of {} rules", self.version, self.rules.len())
    }
}

impl RuleSet {
    /// A set without rules.
    pub fn empty(schema: Arc<FeatureSchema>) -> Self {
        let (program, index) = (Program::default(), Index::default());
        Self {
            version: Self::version_of(""),
            budget: None,
            budget_of_caps: None,
            jitter_ms: 0,
            trust_up_to: None,
            rules: Vec::new(),
            schema,
            program,
            index,
            plain: true,
            replacing: Vec::new(),
            warnings: Vec::new(),
            contradictions: Vec::new(),
        }
    }

    /// The version that a source will have.
    pub fn version_of(source: &str) -> String {
        let digest = sha2::Sha256::digest(source.as_bytes());
        stockade_model::hash::hex(&digest[..8])
    }

    /// The windows that the rules of a set bind.
    pub fn windows(source: &str, schema: &FeatureSchema) -> Result<Vec<Binding>, Vec<RuleError>> {
        let set = spec::parse(source).map_err(|error| vec![error])?;
        let mut windows = Vec::new();
        let mut errors = Vec::new();
        let lets = set.lets.iter().map(|(name, source)| (format!("let {name}"), "when", source));
        let conditions = set.rules.iter().flat_map(|rule| {
            let when = std::iter::once(&rule.when).filter(|when| !when.is_empty());
            let written =
                when.map(|source| ("when", source)).chain(rule.cure.iter().map(|cure| ("cure", cure)));
            written.map(|(field, source)| (rule.id.to_string(), field, source))
        });
        for (rule, field, source) in lets.chain(conditions) {
            if let Err(flaw) = condition::read(source, schema, &mut windows) {
                errors.push(RuleError::within(&rule, field, source, flaw));
            }
        }
        windows.sort();
        windows.dedup();
        locate(&mut errors, source);
        if errors.is_empty() { Ok(windows) } else { Err(errors) }
    }

    /// Reads the YAML of a set without compiling it.
    pub fn read(source: &str) -> Result<SetSpec, Vec<RuleError>> {
        spec::parse(source).map_err(|error| vec![error])
    }

    /// Compiles the YAML of a set. All problems are reported together; a set with any is not a set.
    pub fn compile(source: &str, schema: Arc<FeatureSchema>) -> Result<Self, Vec<RuleError>> {
        let set = spec::parse(source).map_err(|error| vec![error])?;
        let mut set = Self::compile_spec(set, Self::version_of(source), schema).map_err(|mut errors| {
            locate(&mut errors, source);
            errors
        })?;
        locate(&mut set.warnings, source);
        locate(&mut set.contradictions, source);
        Ok(set)
    }

    /// Compiles a set that was read.
    pub fn compile_spec(
        set: SetSpec,
        version: String,
        schema: Arc<FeatureSchema>,
    ) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let lets = read_lets(&set, &schema, &mut errors);
        let global = set.budget.as_ref().map(|budget| read_budget(budget, "the set", &mut errors));
        let of_caps = set.budget_of_caps.as_ref().map(|budget| read_budget_of_caps(budget, &mut errors));
        let trust_up_to = set.trust_up_to;
        let jitter_ms = set.jitter.as_ref().map_or(0, |jitter| read_jitter(jitter, &mut errors));
        let mut compiler = Compiler::new(&schema);
        let mut rules = Vec::with_capacity(set.rules.len());
        let mut review = Review::of(&set, &lets, &schema);
        for spec in set.rules {
            match compile_rule(spec, &schema, &lets, &mut compiler) {
                Ok(rule) => {
                    review.rule(&rule, compiler.program());
                    rules.push(rule);
                }
                Err(mut found) => errors.append(&mut found),
            }
        }
        let Review { warnings, contradictions, .. } = review;
        if !errors.is_empty() {
            return Err(errors);
        }
        let on = |rule: &Rule| rule.spec.mode != Mode::Off;
        let index = Index::build(rules.iter().map(|rule| on(rule).then_some(&rule.conjunction)));
        let parts = rules.iter().filter(|rule| on(rule)).any(|rule| !rule.conjunction.parts.is_empty());
        let expires = rules.iter().filter_map(|rule| rule.spec.expires).map(|at| at.ms()).min();
        let plain = !parts && expires.is_none() && !rules.iter().any(|rule| rule.guarded);
        let roots: Vec<Id> = rules.iter().map(|rule| rule.root).collect();
        let program = compiler.finish(&roots);
        let replaces = |number: &usize| on(&rules[*number]) && rules[*number].spec.replaces.is_some();
        let replacing = (0..rules.len()).filter(replaces).collect();
        let budget = global.flatten();
        let set = Self {
            version,
            budget,
            budget_of_caps: of_caps.flatten(),
            jitter_ms,
            trust_up_to,
            rules,
            schema,
            program,
            index,
            plain,
            replacing,
            warnings,
            contradictions,
        };
        set.run_examples(&mut errors);
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// The rules in the order written.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// What compiles and yet is hardly meant, such as a comparison that can never hold.
    pub fn warnings(&self) -> &[RuleError] {
        &self.warnings
    }
    /// What may not be published at `now_ms`, although it compiles: rules that would never be on, rules that contradict
    /// themselves, and rules that withhold without a promise. What was published before goes on compiling, so this is asked only of what is new. `source` is what the
    /// set was compiled from.
    pub fn unpublishable(&self, source: &str, now_ms: i64) -> Vec<RuleError> {
        let expired = |rule: &Rule| {
            let expires = rule.spec.expires.filter(|expires| expires.ms() <= now_ms)?;
            let detail = format!(
                "`expires: {expires}` has passed, so it would never be on; give a later date, or leave the rule out"
            );
            Some(RuleError::of_field(rule.spec.id.as_str(), "expires", "expired", detail))
        };
        let mut errors: Vec<RuleError> = self.rules.iter().filter_map(expired).collect();
        errors.extend(self.contradictions.iter().cloned());
        errors.extend(self.rules.iter().filter_map(|rule| promise::unpromised(rule, &self.schema)));
        // Contradictions were found with their place when the set was compiled.
        let (mut placed, mut rest): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(|error| error.source_line.is_some());
        locate(&mut rest, source);
        placed.append(&mut rest);
        placed
    }
    /// Numbers of the rules that are on and are to replace another.
    pub fn replacing(&self) -> &[usize] {
        &self.replacing
    }
    /// The features they read.
    pub fn schema(&self) -> &Arc<FeatureSchema> {
        &self.schema
    }

    /// Calls `hit` with the number of every rule that is on and true. Allocates nothing once `scratch` has been used.
    #[inline]
    pub fn evaluate(
        &self,
        snapshot: &Snapshot<'_>,
        scratch: &mut Scratch,
        mut hit: impl FnMut(usize, &Rule),
    ) {
        if self.plain {
            self.index.candidates(snapshot.slots, &mut scratch.struck, |number| {
                hit(number as usize, &self.rules[number as usize]);
            });
            return;
        }
        scratch.begin(&self.program);
        let mut struck = std::mem::take(&mut scratch.struck);
        self.index.candidates(snapshot.slots, &mut struck, |number| {
            let rule = &self.rules[number as usize];
            let holds =
                |id: &Id, scratch: &mut Scratch| self.program.truth(*id, snapshot, scratch) == Truth::True;
            if rule.conjunction.parts.iter().all(|id| holds(id, scratch))
                && rule.is_on(snapshot.now_ms)
                && !(rule.guarded && self.by_association_alone(rule, snapshot))
            {
                hit(number as usize, rule);
            }
        });
        scratch.struck = struck;
    }

    /// The rules that are on and true, in the order written.
    pub fn hits(&self, snapshot: &Snapshot<'_>) -> Vec<&Rule> {
        let mut numbers = Vec::new();
        self.evaluate(snapshot, &mut Scratch::default(), |number, _| numbers.push(number));
        numbers.sort_unstable();
        numbers.into_iter().map(|number| &self.rules[number]).collect()
    }

    fn is_association(&self, slot: usize) -> bool {
        self.schema.features()[slot].name.starts_with(ASSOCIATION)
    }
    fn needs_association(&self, rule: &Rule) -> bool {
        rule.reads.iter().any(|slot| self.is_association(*slot))
    }

    /// The truth of a rule when the values of only the slots that `keep` picks may be seen; `instead` is what the others
    /// that are known become.
    fn truth_with(
        &self,
        rule: &Rule,
        snapshot: &Snapshot<'_>,
        instead: f32,
        keep: impl Fn(usize) -> bool,
    ) -> Truth {
        let mask = |(slot, value): (usize, &f32)| {
            if keep(slot) || !value.is_finite() { *value } else { instead }
        };
        let slots: Vec<f32> =
            snapshot.slots.iter().take(self.schema.features().len()).enumerate().map(mask).collect();
        self.truth(rule, &Snapshot { slots: &slots, ..*snapshot })
    }

    /// Whether a rule would hold by links to others alone: whether it still does when nothing is known but these.
    /// Association never locks anybody. That something else is known is no deed either, so it may still be asked for.
    fn by_association_alone(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> bool {
        self.truth_with(rule, snapshot, Snapshot::CONCEALED, |slot| self.is_association(slot)) == Truth::True
    }

    /// Whether a rule that holds would not without what is known of links to others.
    pub fn by_association(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> bool {
        self.needs_association(rule)
            && self.truth_with(rule, snapshot, f32::NAN, |slot| !self.is_association(slot)) != Truth::True
    }

    /// What `rule` says about a snapshot.
    pub fn truth(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Truth {
        let mut scratch = Scratch::default();
        scratch.begin(&self.program);
        self.program.truth(rule.root, snapshot, &mut scratch)
    }
    /// The same by the general evaluator.
    pub fn truth_in_general(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Truth {
        condition::general(&rule.expr, &self.schema, snapshot)
    }
    /// Why `rule` holds or does not; first, where it promises a bound on false alarms, its evidence in words.
    pub fn explain(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Explanation {
        let mut explanation = explain::explain(&rule.expr, &self.schema, snapshot);
        explanation.tree.splice(0..0, self.words(rule, snapshot));
        explanation
    }
    /// Whether what `rule` had found is corrected or grown out of.
    pub fn is_cured(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> bool {
        rule.cure.as_ref().is_some_and(|cure| condition::general(cure, &self.schema, snapshot) == Truth::True)
    }
    /// The values `rule` read, unknown ones left out.
    pub fn values(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> BTreeMap<String, f64> {
        let value =
            |slot: &usize| Some((self.schema.features()[*slot].name.clone(), snapshot.feature(*slot)?));
        rule.reads.iter().filter_map(value).chain(self.counts(rule, snapshot)).collect()
    }
    /// The evidence count of `rule`; 0 when it is unknown.
    pub fn evidence(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> f64 {
        snapshot.feature(rule.evidence_slot).unwrap_or(0.0)
    }

    fn run_examples(&self, errors: &mut Vec<RuleError>) {
        for rule in &self.rules {
            let id = rule.spec.id.as_str();
            for example in &rule.spec.examples {
                let mut slots = vec![f32::NAN; self.schema.features().len()];
                for (name, value) in &example.given {
                    match self.slot_as_written(name) {
                        Some(slot) => slots[slot] = *value as f32,
                        None => errors.push(unknown_feature(
                            id,
                            &format!("example {:?}", example.name),
                            name,
                            &self.schema,
                        )),
                    }
                }
                let now_ms = example.now.map_or(0, |now| now.ms());
                let snapshot = Snapshot { now_ms, ..Snapshot::of(&slots) };
                let truth = self.truth(rule, &snapshot);
                if truth != example.expect {
                    let tree = self.explain(rule, &snapshot).tree.join("\n");
                    let detail = format!(
                        "example {:?} expects {:?} but the rule says {truth:?}:\n{tree}",
                        example.name, example.expect
                    );
                    errors.push(RuleError::of_field(id, "examples", "example_failed", detail));
                }
            }
        }
    }

    /// The slot of a feature or of a window written as in a rule.
    fn slot_as_written(&self, name: &str) -> Option<usize> {
        self.schema.slot(name).or_else(|| {
            let mut windows = Vec::new();
            condition::read(name, &self.schema, &mut windows).ok()?;
            windows.first().and_then(|window| self.schema.window_slot(window))
        })
    }
}

fn read_lets(set: &SetSpec, schema: &FeatureSchema, errors: &mut Vec<RuleError>) -> Lets {
    let mut lets = Lets::new();
    if set.lets.len() > condition::LETS_MAX {
        let detail = format!("at most {} named expressions are allowed", condition::LETS_MAX);
        errors.push(RuleError::of_set("too_large", detail));
        return lets;
    }
    for (name, source) in &set.lets {
        let place = format!("let {name}");
        if !condition::is_free_name(name, schema) {
            let detail = "a name has small letters, digits and _, and means nothing else yet";
            errors.push(RuleError::of_rule(&place, "bad_set", detail));
        }
        match condition::read(source, schema, &mut Vec::new()) {
            Ok(expr) => drop(lets.insert(name.clone(), expr)),
            Err(flaw) => errors.push(RuleError::at(&place, source, flaw)),
        }
    }
    // Each is checked by itself, so that an error shows where it is and not where it is used.
    for (name, source) in &set.lets {
        let Some(expr) = lets.get(name) else { continue };
        let checked = condition::with_lets(expr.clone(), &lets).and_then(|mut expr| {
            crate::lang::resolve(&mut expr, schema.env());
            crate::lang::check(&expr, schema.env())
        });
        if let Err(flaw) = checked {
            errors.push(RuleError::at(&format!("let {name}"), source, flaw));
        }
    }
    lets
}

/// Longest time by which what withholds nothing may begin later, in milliseconds: damage goes on meanwhile.
const JITTER_MS_MAX: i64 = 60 * 60 * 1_000;

fn read_jitter(jitter: &str, errors: &mut Vec<RuleError>) -> i64 {
    let read = parse_duration_ms(jitter).filter(|ms| (0..=JITTER_MS_MAX).contains(ms));
    read.unwrap_or_else(|| {
        let detail = format!("`jitter: {jitter}` is a time up to an hour, such as `10m`");
        errors.push(RuleError::of_set("bad_set", detail));
        0
    })
}

fn read_budget(budget: &BudgetSpec, place: &str, errors: &mut Vec<RuleError>) -> Option<Budget> {
    let mut refuse = |detail: &str| errors.push(RuleError::of_field(place, "budget", "bad_set", detail));
    if budget.stock_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        refuse("`stock_share` is a share from 0 to 1");
    }
    if budget.suppliers.is_none() && budget.stock_share.is_none() {
        refuse("a budget bounds `suppliers`, `stock_share`, or both");
    }
    let per_ms = parse_duration_ms(&budget.per).filter(|ms| crate::WINDOW_MS.contains(ms));
    if per_ms.is_none() {
        refuse("`per` is a window from 30s to 90d, such as 1h");
    }
    Some(Budget { suppliers: budget.suppliers, stock_share: budget.stock_share, per_ms: per_ms? })
}

/// What caps is found by many rules at once, so it is counted by suppliers alone.
fn read_budget_of_caps(budget: &BudgetSpec, errors: &mut Vec<RuleError>) -> Option<Budget> {
    if budget.suppliers.is_none() || budget.stock_share.is_some() {
        let detail = "`budget_of_caps` bounds `suppliers`, and no share of stock";
        errors.push(RuleError::of_set("bad_set", detail.to_owned()));
        return None;
    }
    read_budget(budget, "the set", errors)
}

fn unknown_feature(rule: &str, field: &str, name: &str, schema: &FeatureSchema) -> RuleError {
    let near = schema.suggest(name);
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let place = if field == "evidence" { "evidence" } else { "examples" };
    let detail = format!("`{field}`: {name} is not a feature{hint}");
    RuleError {
        suggestion: near.map(str::to_owned),
        ..RuleError::of_field(rule, place, "unknown_name", detail)
    }
}

fn compile_rule(
    spec: RuleSpec,
    schema: &FeatureSchema,
    lets: &Lets,
    compiler: &mut Compiler<'_>,
) -> Result<Rule, Vec<RuleError>> {
    let mut errors = Vec::new();
    let id = spec.id.to_string();
    let at = |flaw: Flaw| RuleError::at(&id, &spec.when, flaw);
    let bound = read_promise(&spec, schema).map_err(|error| errors.push(error)).ok().flatten();
    let compiled = match bound {
        Some(bound) if spec.when.is_empty() => Ok(bound),
        bound => condition::read(&spec.when, schema, &mut Vec::new()).map(|when| join(bound, when)),
    };
    let compiled = compiled
        .and_then(|expr| condition::with_lets(expr, lets))
        .and_then(|mut expr| condition::check(&mut expr, schema).map(|()| expr))
        .and_then(|expr| compiler.condition(&expr).map(|root| (expr, root)))
        .map_err(|flaw| errors.push(at(flaw)))
        .ok();
    let cure = spec.cure.as_ref().and_then(|source| {
        let read = condition::read(source, schema, &mut Vec::new())
            .and_then(|expr| condition::with_lets(expr, lets))
            .and_then(|mut expr| condition::check(&mut expr, schema).map(|()| expr));
        read.map_err(|flaw| errors.push(RuleError::within(&id, "cure", source, flaw))).ok()
    });
    let duration_ms = parse_duration_ms(&spec.duration);
    if duration_ms.is_none() {
        let detail = format!("`for: {}` is not a duration such as 12h or 7d", spec.duration);
        errors.push(RuleError::of_field(&id, "for", "bad_set", detail));
    }
    let mut refuse = |field, detail: String| errors.push(RuleError::of_field(&id, field, "bad_set", detail));
    if spec.reasons.is_empty() {
        refuse("reasons", "a rule needs at least one reason code for the supplier".to_owned());
    }
    let between = |share: Option<f64>, most: f64| share.is_none_or(|share| share > 0.0 && share <= most);
    if (spec.mode == Mode::Canary) != spec.canary_percent.is_some() || !between(spec.canary_percent, 99.99) {
        refuse(
            "canary_percent",
            "`canary_percent`, above 0 and below 100, goes with `mode: canary` and only with it".to_owned(),
        );
    }
    if !between(spec.holdout_percent, 50.0) {
        refuse("holdout_percent", "`holdout_percent` is above 0 and at most 50".to_owned());
    }
    let budget = spec.budget.as_ref().and_then(|budget| read_budget(budget, &id, &mut errors));
    let evidence_slot = schema.slot(&spec.evidence).or_else(|| {
        let mut windows = Vec::new();
        condition::read(&spec.evidence, schema, &mut windows).ok()?;
        windows.first().and_then(|window| schema.window_slot(window))
    });
    if evidence_slot.is_none() {
        errors.push(unknown_feature(&id, "evidence", &spec.evidence, schema));
    }
    let (Some((expr, root)), Some(duration_ms), Some(evidence_slot), true) =
        (compiled, duration_ms, evidence_slot, errors.is_empty())
    else {
        return Err(errors);
    };
    let reads = condition::reads(&expr, schema, false);
    let association = |slot: &usize| schema.features()[*slot].name.starts_with(ASSOCIATION);
    // That something is known of somebody is no deed of theirs.
    let tested = condition::reads(&expr, schema, true);
    let deeds = if tested.is_empty() { &reads } else { &tested };
    if spec.level.withholds() && !deeds.is_empty() && deeds.iter().all(association) {
        let detail = "reads nothing but links to others; association alone may `watch`, `limit` or `dim`, \
                      never withhold: join it with what the supplier itself did";
        return Err(vec![RuleError::of_field(&id, "when", "association_alone", detail)]);
    }
    if spec.level.withholds()
        && condition::asks_what_is_known(&expr)
        && analysis::holds_of_the_unknown(compiler.program(), root)
    {
        let detail = "holds of suppliers of whom nothing is known; what is missing may `watch`, `limit` or `dim`, never \
                      withhold: join it with something that was seen";
        return Err(vec![RuleError::of_field(&id, "when", "unknown_alone", detail)]);
    }
    let guarded = spec.level.withholds() && reads.iter().any(association);
    let conjunction = compiler.conjunction(root);
    let content = RuleSet::version_of(&stockade_model::encode::json_text(&spec));
    Ok(Rule {
        spec,
        content,
        duration_ms,
        budget,
        expr,
        root,
        conjunction,
        reads,
        guarded,
        evidence_slot,
        cure,
    })
}

/// The bound that a rule promises, as a condition.
fn read_promise(spec: &RuleSpec, schema: &FeatureSchema) -> Result<Option<Expr>, RuleError> {
    let refuse = |detail: String| Err(RuleError::of_field(spec.id.as_str(), FALSE_ALARMS, "bad_set", detail));
    let Some(text) = &spec.false_alarms else {
        if spec.when.is_empty() {
            return refuse("a rule has a condition `when`, or `false_alarms`, or both".to_owned());
        }
        return Ok(None);
    };
    let bound = match promise::bound(text) {
        Ok(bound) => bound,
        Err(detail) => return refuse(detail),
    };
    let slot = schema.slot(&spec.evidence);
    if slot.is_none_or(|slot| schema.features()[slot].counted.is_none()) {
        let tests = schema.features().iter().filter(|feature| feature.counted.is_some());
        let names: Vec<&str> = tests.map(|feature| feature.name.as_str()).collect();
        return refuse(format!(
            "`false_alarms` bounds the odds of a test: `evidence` names one of {}, not {}",
            names.join(", "),
            spec.evidence
        ));
    }
    let source = format!("{} >= {bound:?}", spec.evidence);
    condition::read(&source, schema, &mut Vec::new())
        .map(Some)
        .map_err(|flaw| RuleError::of_field(spec.id.as_str(), FALSE_ALARMS, flaw.code, flaw.detail))
}

fn join(bound: Option<Expr>, when: Expr) -> Expr {
    let Some(bound) = bound else { return when };
    let span = when.span;
    Expr::new(Kind::Call { target: None, name: "&&".to_owned(), args: vec![bound, when] }, span)
}

/// Looks over what compiles: what contradicts itself, and what is hardly meant.
struct Review<'a> {
    schema: &'a FeatureSchema,
    /// Named expressions, resolved.
    named: Lets,
    warnings: Vec<RuleError>,
    contradictions: Vec<RuleError>,
    steps: usize,
}

impl<'a> Review<'a> {
    fn of(set: &SetSpec, lets: &Lets, schema: &'a FeatureSchema) -> Self {
        let resolved = |(name, expr): (&String, &Expr)| {
            let mut expr = expr.clone();
            crate::lang::resolve(&mut expr, schema.env());
            (name.clone(), expr)
        };
        let mut review = Self {
            schema,
            named: lets.iter().map(resolved).collect(),
            warnings: Vec::new(),
            contradictions: Vec::new(),
            steps: Analysis::of_set(),
        };
        for (name, source) in &set.lets {
            let Some(expr) = review.named.get(name) else { continue };
            let found = lint(expr, schema, &|name| review.named.get(name));
            let place = format!("let {name}");
            review.warnings.extend(found.into_iter().map(|flaw| RuleError::at(&place, source, flaw)));
        }
        review
    }

    fn rule(&mut self, rule: &Rule, program: &Program) {
        let id = rule.spec.id.as_str();
        let own = condition::read(&rule.spec.when, self.schema, &mut Vec::new()).ok().map(|mut expr| {
            crate::lang::resolve(&mut expr, self.schema.env());
            expr
        });
        let found = own.iter().flat_map(|expr| lint(expr, self.schema, &|name| self.named.get(name)));
        let mut found: Vec<RuleError> = found.map(|flaw| RuleError::at(id, &rule.spec.when, flaw)).collect();
        let mut analysis = Analysis::new(program, self.schema, self.steps);
        let contradiction = analysis.contradiction(rule.root);
        let never = analysis.never_holds(rule.root);
        self.steps = analysis.left();
        if let Some(why) = contradiction {
            let detail = format!("contradicts itself and can never be true: {why}");
            self.contradictions.push(RuleError::of_field(id, "when", "contradiction", detail));
            return;
        }
        if let Some(why) = never.filter(|_| found.iter().all(|warning| warning.code == "always_holds")) {
            let detail = format!("can never be true: {why}");
            found.push(RuleError::of_field(id, "when", "never_holds", detail));
        }
        self.warnings.append(&mut found);
    }
}
