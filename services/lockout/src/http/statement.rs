//! The statement of reasons of a restriction: `GET /v1/suppliers/{supplier}/decisions/{decision}/statement`.
//!
//! It holds the facts that Article 17(3) of Regulation (EU) 2022/2065 (Digital Services Act) and Article 4 of Regulation (EU)
//! 2019/1150 (platform to business) ask a marketplace to state: what is restricted, where and for how long, on which facts,
//! whether a machine found and decided it, on which ground, and what can be done about it. It never says how much would
//! have been too much. Whether that is enough in a given case is for the marketplace's lawyers to say; what they want to
//! add (terms, bodies for settlement out of court) stands beside it in the message that the marketplace sends.

use serde::Serialize;
use stockade_model::{Level, Restriction, Scope, Timestamp, VouchedBy};

use super::{
    standing::{Counted, counted, restriction_of},
    *,
};

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Statement {
    supplier: SupplierId,
    decision: String,
    issued_at: Timestamp,
    in_force: bool,
    restriction: Restricted,
    facts: FactsFound,
    origin: Origin,
    automated: Automated,
    ground: Ground,
    redress: Redress,
    law: [&'static str; 2],
}

/// What is restricted, where, from when until when.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatementRestriction")]
pub(super) struct Restricted {
    level: Level,
    what: &'static str,
    scope: Scope,
    covers: String,
    from: Timestamp,
    until: Timestamp,
    /// By when a person looks at it, if nobody has before.
    review_at: Timestamp,
}

/// Facts and circumstances that were relied on.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatementFacts")]
pub(super) struct FactsFound {
    text: String,
    counted: Vec<Counted>,
    vouched: Vec<VouchedBy>,
}

/// How the matter came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StatementOrigin")]
pub(super) enum Origin {
    /// The marketplace watches what becomes of all orders, of its own accord.
    OwnInitiative,
    /// A person of the marketplace looked into it.
    Person,
}

/// Whether machines had a part in it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatementAutomated")]
pub(super) struct Automated {
    detection: bool,
    decision: bool,
}

/// On what the restriction rests: terms of the marketplace, by the stable codes of its reasons.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatementGround")]
pub(super) struct Ground {
    kind: &'static str,
    reasons: Vec<String>,
}

/// What the supplier can do.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatementRedress")]
pub(super) struct Redress {
    appeal: String,
    how: &'static str,
    courts: &'static str,
}

const HOW: &str = "Say why it is wrong, in your own words; a person who did not decide it looks at it, and what it ends with is told with its reason.";
const COURTS: &str =
    "You may also go to a body for settlement out of court that your terms name, or to court.";
/// What is told where a person gave no facts.
const NO_FACTS: &str = "Whoever decided it has not stated the facts it rests on; an appeal asks for them.";
const LAW: [&str; 2] = ["Regulation (EU) 2022/2065, Article 17(3)", "Regulation (EU) 2019/1150, Article 4"];

fn what(level: Level) -> &'static str {
    match level {
        Level::Watch => "Nothing is restricted; it is looked at.",
        Level::Limit => "Changes of your inventory are taken at a lower rate.",
        Level::Cap => {
            "Your offers are shown, but no more can be reserved or ordered than you have handed over lately."
        }
        Level::Dim => {
            "Your offers are shown after those of others, and no more can be ordered than you have handed over lately."
        }
        Level::Quarantine => "Your offers are not shown to buyers. You can still change your inventory.",
        Level::Lockout => {
            "Your offers are not shown to buyers, and you can only reduce or withdraw what you offer."
        }
    }
}

fn covers(scope: &Scope) -> String {
    match scope {
        Scope::Supplier => "everything you offer, in every region".to_owned(),
        Scope::Region { region } => format!("everything you offer in {}", region.as_str()),
        Scope::Sku { sku } => format!("what you offer of {sku}, in every region"),
        Scope::Listing { listing } => format!("your listing {listing}, in every region"),
    }
}

fn by_whom(vouched: VouchedBy) -> &'static str {
    match vouched {
        VouchedBy::Attested => "the marketplace, a carrier, a card issuer or yourself",
        VouchedBy::Witnessed => "buyers, each weighed by a record that does not depend on you",
        VouchedBy::Claimed => "buyers",
    }
}

impl Statement {
    fn new(api: &LockoutApi, supplier: SupplierId, restriction: &Restriction, in_force: bool) -> Self {
        let by_rule = restriction.actor.is_none();
        Self {
            decision: restriction.id.clone(),
            issued_at: restriction.since,
            in_force,
            restriction: Restricted {
                level: restriction.level,
                what: what(restriction.level),
                scope: restriction.scope.clone(),
                covers: covers(&restriction.scope),
                from: restriction.since,
                until: restriction.expires_at,
                review_at: restriction.review_at,
            },
            facts: FactsFound {
                text: restriction.text.clone(),
                counted: counted(api, restriction),
                vouched: restriction.vouched.clone(),
            },
            origin: if by_rule { Origin::OwnInitiative } else { Origin::Person },
            automated: Automated { detection: by_rule, decision: by_rule },
            ground: Ground { kind: "terms_of_the_marketplace", reasons: restriction.reasons.clone() },
            redress: Redress {
                appeal: format!("/v1/suppliers/{supplier}/appeals"),
                how: HOW,
                courts: COURTS,
            },
            law: LAW,
            supplier,
        }
    }

    /// The same for a person to read.
    fn text(&self) -> String {
        let Self { restriction, facts, redress, .. } = self;
        let mut text = String::new();
        let mut line = |words: &str| {
            text.push_str(words);
            text.push('\n');
        };
        line(&format!("Statement of reasons for decision {} about {}", self.decision, self.supplier));
        line("");
        line(restriction.what);
        line(&format!(
            "This covers {}, from {} until {}{}.",
            restriction.covers,
            restriction.from,
            restriction.until,
            if self.in_force { "" } else { "; it is not in force any more" }
        ));
        line(&format!("A person looks at it by {}, if nobody has before.", restriction.review_at));
        line("");
        line("Why");
        line(if facts.text.is_empty() && facts.counted.is_empty() { NO_FACTS } else { &facts.text });
        for fact in &facts.counted {
            line(&format!("- {}: {}", fact.what, fact.value));
        }
        if !facts.vouched.is_empty() {
            let who: Vec<&str> = facts.vouched.iter().map(|vouched| by_whom(*vouched)).collect();
            line(&format!("This rests on what is known from {}.", who.join("; ")));
        }
        line(&format!("Reasons by the terms of the marketplace: {}.", self.ground.reasons.join(", ")));
        line("");
        line(match self.origin {
            Origin::OwnInitiative => {
                "The marketplace found this of its own accord. It was found and decided by automated means."
            }
            Origin::Person => "A person of the marketplace looked into it and decided it.",
        });
        line("");
        line("What you can do");
        line(&format!("{} Send it to {} with the number of this decision.", redress.how, redress.appeal));
        line(redress.courts);
        line("");
        line(&format!("Stated under {}.", self.law.join(" and ")));
        text
    }
}

/// Whether a caller would rather read text than JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accepted.split([',', ';']).next().unwrap_or_default().trim();
    first.eq_ignore_ascii_case("text/plain")
}

pub(super) async fn statement(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Path((_, decision)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (restriction, in_force) = restriction_of(&api, &supplier, &decision)?;
    let statement = Statement::new(&api, supplier, &restriction, in_force);
    Ok(match wants_text(&headers) {
        true => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], statement.text()).into_response(),
        false => Json(statement).into_response(),
    })
}
