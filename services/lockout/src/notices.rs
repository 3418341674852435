//! What a supplier is told of a decision, at its webhooks: what its standing says of it, never what would have been too much, nor
//! what people note among themselves. And what operators alone are told: that a rule is held back.

use serde::Serialize;
use stockade_model::{Action, Audience, Decision, Level, Notice, Position, SupplierId};

use crate::{
    arbiter::{Exceeded, HeldBy},
    http::Facts,
};

/// What became of an appeal, as the list of appeals has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Granted,
    Rejected,
    /// What it was against ended by itself.
    Ended,
}

/// What `action` says to an appeal that is open against the restriction it is about.
pub(crate) fn answers_appeal(action: Action) -> Option<Answer> {
    match action {
        Action::AppealRejected => Some(Answer::Rejected),
        Action::Released => Some(Answer::Granted),
        Action::Expired | Action::Unlinked | Action::Cured | Action::Allowed => Some(Answer::Ended),
        _ => None,
    }
}

/// Why something is no longer restricted.
fn restored_because(action: Action) -> Option<&'static str> {
    match action {
        Action::Released => Some("released"),
        Action::Expired => Some("expired"),
        // That it had to do with others, or that the engine doubts itself, is not for its ears.
        Action::Unlinked | Action::Cured | Action::Lowered => Some("ended"),
        Action::Allowed => Some("allowed"),
        _ => None,
    }
}

#[derive(Serialize)]
struct Data<'a> {
    supplier: &'a SupplierId,
    /// The hardest level in force from here on; null when nothing is.
    level: Option<Level>,
    decision: Facts,
    /// Whether a rule made it rather than a person.
    automatic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Answer>,
    /// What the person who answered says.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    standing: String,
    statement: String,
}

/// The notices of a decision; `answers` is what it says to an open appeal.
pub(crate) fn notices(decision: &Decision, answers: Option<Answer>) -> Vec<Notice> {
    let Some(restriction) = &decision.restriction else { return Vec::new() };
    let because = restored_because(decision.action);
    let of_action = match decision.action {
        Action::Imposed | Action::Raised => Some("decision.restricted"),
        Action::Extended => Some("decision.extended"),
        Action::Appealed => Some("appeal.opened"),
        _ => because.map(|_| "decision.restored"),
    };
    let supplier = &decision.supplier;
    let of = |event: &str| {
        let is_answer = event == "appeal.answered";
        let data = Data {
            supplier,
            level: decision.in_force.iter().map(|held| held.level).max(),
            decision: Facts::from(restriction),
            automatic: restriction.actor.is_none(),
            because: because.filter(|_| !is_answer),
            outcome: answers.filter(|_| is_answer),
            answer: decision.note.as_deref().filter(|_| is_answer && answers != Some(Answer::Ended)),
            standing: format!("/v1/suppliers/{supplier}/standing"),
            statement: format!("/v1/suppliers/{supplier}/decisions/{}/statement", restriction.id),
        };
        Notice {
            id: format!("{}/{event}", decision.version),
            event: event.to_owned(),
            at: decision.at,
            audience: Audience::Supplier { supplier: supplier.clone() },
            // What cannot be written is a defect that the tests find; it is not worth a fold that stands still.
            data: serde_json::to_value(data).unwrap_or_default(),
        }
    };
    of_action.into_iter().chain(answers.map(|_| "appeal.answered")).map(of).collect()
}

#[derive(Serialize)]
struct Held<'a> {
    rule: &'a str,
    because: HeldBy,
    /// Which budget, what is suspect, or who stopped it and why.
    detail: &'a str,
    rules: &'static str,
}

/// The notice that a rule is held back, which the output at `position` brings.
pub(crate) fn held_back(position: &Position, rule: &str, held: &Exceeded) -> Notice {
    let event = "rule.held_back";
    let data = Held { rule, because: held.held_by(), detail: &held.detail, rules: "/v1/rules" };
    Notice {
        id: format!("{position}/{event}"),
        event: event.to_owned(),
        at: held.at,
        audience: Audience::Operators,
        data: serde_json::to_value(data).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use stockade_fold::Host;
    use stockade_log::{Headers, Record};
    use stockade_model::{
        Envelope, Payload, Position, Restriction, RuleRef, Scope, Timestamp, Topic, WebhookRecord,
    };

    use super::*;
    use crate::DecisionsCheck;

    fn restriction(actor: Option<&str>) -> Restriction {
        let values = [("cancellations.rate".to_owned(), 0.7123)].into();
        Restriction {
            id: "d-1-7-1".to_owned(),
            version: Position::parse("arbiter/0/1/7/1").unwrap(),
            scope: Scope::Supplier,
            level: Level::Quarantine,
            reasons: vec!["DEFECT_RATE".to_owned()],
            rule: Some(RuleRef {
                id: "secret-rule".parse().unwrap(),
                version: "0123456789abcdef".to_owned(),
                content: String::new(),
            }),
            actor: actor.map(str::to_owned),
            values,
            tree: vec!["true cancellations.rate [0.7123] > 0.4242".to_owned()],
            since: Timestamp::from_ms(1_000),
            expires_at: Timestamp::from_ms(2_000),
            review_at: Timestamp::from_ms(1_500),
            cause: None,
            evidence: 5.0,
            text: "Several orders were cancelled.".to_owned(),
            counterfactuals: Vec::new(),
            vouched: Vec::new(),
            by_association: true,
            holdout: false,
            asked: None,
            confirmed: None,
        }
    }

    /// What the fold tells of these actions, one after the other, all about one restriction.
    fn told(actions: &[Action]) -> Vec<(String, serde_json::Value)> {
        let mut host = Host::new("decisions", Topic::LockoutDecisions, 0, 1, 4, DecisionsCheck::default());
        let mut out = Vec::new();
        for (offset, action) in actions.iter().enumerate() {
            let held = matches!(
                action,
                Action::Imposed | Action::Extended | Action::Appealed | Action::AppealRejected
            );
            let decision = Decision {
                version: Position::parse(&format!("arbiter/0/1/{}/1", 7 + offset)).unwrap(),
                at: Timestamp::from_ms(1_000),
                supplier: "acme".parse().unwrap(),
                action: *action,
                restriction: Some(restriction(None)),
                actor: Some("ann".to_owned()),
                note: Some("looked at by hand".to_owned()),
                in_force: if held { vec![restriction(None)] } else { Vec::new() },
                act: None,
                chain: String::new(),
            };
            let payload = Payload::Decision(decision);
            let headers: Headers = Envelope::new(payload.kind(), "", "test")
                .headers()
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            let record = Record {
                offset: offset as u64,
                time_ms: 1_000,
                key: "acme".into(),
                headers,
                value: payload.encode().into(),
            };
            for output in host.apply(&record, &mut Vec::new()) {
                assert_eq!(output.topic, "webhooks");
                match Payload::decode("stockade.webhook", &output.value).unwrap() {
                    Payload::Webhook(WebhookRecord::Notice(notice)) => out.push((notice.event, notice.data)),
                    other => panic!("{other:?}"),
                }
            }
        }
        out
    }

    #[test]
    fn a_supplier_is_told_what_its_standing_says_and_no_threshold_rule_or_name() {
        let told = told(&[Action::Imposed, Action::Extended, Action::Unlinked]);
        let names: Vec<&str> = told.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(names, ["decision.restricted", "decision.extended", "decision.restored"]);
        assert_eq!(told[0].1["decision"]["reasons"][0], "DEFECT_RATE");
        assert_eq!(told[0].1["level"], "quarantine");
        assert_eq!((&told[2].1["level"], &told[2].1["because"]), (&serde_json::Value::Null, &"ended".into()));
        for (event, data) in &told {
            let text = data.to_string();
            for secret in
                ["0.4242", "0.7123", "secret-rule", "0123456789abcdef", "ann", "by hand", "link", "associat"]
            {
                assert!(!text.contains(secret), "{event} tells {secret}: {text}");
            }
        }
    }

    #[test]
    fn an_appeal_is_told_with_its_answer_and_a_release_without_one_is_no_answer() {
        let events =
            |actions: &[Action]| told(actions).into_iter().map(|(event, _)| event).collect::<Vec<_>>();
        assert_eq!(events(&[Action::Released]), ["decision.restored"]);
        assert_eq!(
            events(&[
                Action::Confirmed,
                Action::Reopened,
                Action::Snoozed,
                Action::OverBudget,
                Action::Dismissed
            ]),
            [""; 0]
        );
        let granted = told(&[Action::Appealed, Action::Released, Action::Released]);
        let names: Vec<&str> = granted.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(names, ["appeal.opened", "decision.restored", "appeal.answered", "decision.restored"]);
        assert_eq!(granted[2].1["outcome"], "granted");
        assert_eq!(granted[2].1["answer"], "looked at by hand");
        let rejected = told(&[Action::Appealed, Action::AppealRejected]);
        assert_eq!(
            (rejected[1].0.as_str(), &rejected[1].1["outcome"]),
            ("appeal.answered", &"rejected".into())
        );
        let ended = told(&[Action::Appealed, Action::Expired]);
        assert_eq!(ended[2].1["outcome"], "ended");
        assert!(ended[2].1.get("answer").is_none());
    }
}
