//! What the server answered to an act of a person, as one sentence.

use hyper::StatusCode;
use serde_json::Value;

use crate::output::count;

/// What is durable and not yet decided.
const SOON: &str = "it is taken and will be in force in a moment";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where an act waits for a second person, how that is let in force.
pub(crate) fn waits(body: &Value) -> Option<String> {
    let draft = body["draft"].as_str()?;
    Some(format!("{draft} waits for approval by somebody else: POST /v1/drafts/{draft}:approve"))
}

/// All rules in shadow, or no longer.
pub(crate) fn kill(on: bool, status: StatusCode) -> String {
    let what = match on {
        true => "all rules are in shadow now: they withhold nothing more, and what they withheld stays so",
        false => "rules act again as they are written",
    };
    if status == StatusCode::ACCEPTED { SOON.to_owned() } else { what.to_owned() }
}

/// A rule set that came into force.
pub(crate) fn rules_in_force(body: &Value, again: bool) -> String {
    if let Some(draft) = body["draft"].as_str() {
        return format!("{draft} waits for approval: `stockade rules approve {draft}` by somebody else");
    }
    let by = body["approver"].as_str().map(|by| format!(", approved by {by}")).unwrap_or_default();
    format!("{} is in force{}{by}", text(&body["version"]), if again { " again" } else { "" })
}

/// Models after a change: who is `role` now.
pub(crate) fn model(body: &Value, role: &str, how: &str) -> String {
    waits(body).unwrap_or_else(|| format!("the model {} {how}", text(&body[role]["version"])))
}

/// What restoring everyone came to; `None` where nothing was found and nothing changed.
pub(crate) fn restored(body: &Value, rule: &str, status: StatusCode) -> Option<String> {
    if status == StatusCode::ACCEPTED {
        return Some(SOON.to_owned());
    }
    let number = |name: &str| body[name].as_u64().unwrap_or_default();
    let (released, dismissed) = (number("released"), number("dismissed"));
    let (kept, remaining) = (number("kept"), number("remaining"));
    let mut parts = Vec::new();
    if released > 0 {
        let of = count(number("suppliers"), "supplier", "suppliers");
        parts.push(format!("{} of {of} released", count(released, "restriction", "restrictions")));
    }
    if dismissed > 0 {
        parts.push(format!(
            "{} dismissed of what a budget had held back",
            count(dismissed, "review", "reviews")
        ));
    }
    if kept > 0 {
        let stays = if kept == 1 { "stays" } else { "stay" };
        let what = count(kept, "restriction", "restrictions");
        parts.push(format!("{what} that a person confirmed {stays} (--confirmed releases such too)"));
    }
    if remaining > 0 {
        parts.push(format!("{remaining} left, which goes on by itself within seconds"));
    }
    let nothing = parts.is_empty();
    if body["stopped"] == true {
        if nothing {
            parts.push(format!("nothing that {rule} restricted was found"));
        }
        parts.push(format!("{rule} does nothing any more until it is rearmed"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Nothing was found of a rule; `known` are those in force.
pub(crate) fn nothing_of(rule: &str, known: &[String]) -> String {
    let found = format!("nothing that a rule {rule} restricted was found");
    if known.iter().any(|known| known == rule) {
        return format!(
            "{found}; it is in force, and has restricted nobody in that time who is not released by now"
        );
    }
    let nearest = stockade_rules::nearest(rule, known.iter().map(String::as_str));
    let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{found}; rules in force: {known}{hint}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn restoring_everyone_is_told_in_a_sentence_and_nothing_found_is_nothing() {
        let body = |released: u64, dismissed: u64, kept: u64, stopped: bool| {
            json!({ "act": "p-1", "rule": "spree", "released": released, "suppliers": released, "dismissed": dismissed,
                "kept": kept, "remaining": 0, "stopped": stopped })
        };
        let of = |body: &Value| restored(body, "spree", StatusCode::OK);
        assert_eq!(of(&body(0, 0, 0, false)), None);
        assert_eq!(of(&body(1, 0, 0, false)).unwrap(), "1 restriction of 1 supplier released");
        let all = of(&body(2, 3, 1, true)).unwrap();
        assert_eq!(
            all,
            "2 restrictions of 2 suppliers released; 3 reviews dismissed of what a budget had held back; 1 restriction that a person confirmed stays (--confirmed releases such too); spree does nothing any more until it is rearmed"
        );
        assert!(of(&body(0, 0, 0, true)).unwrap().starts_with("nothing that spree restricted was found; "));
        assert_eq!(restored(&json!({}), "spree", StatusCode::ACCEPTED).unwrap(), SOON);
    }

    #[test]
    fn a_misspelt_rule_is_told_with_those_that_there_are() {
        let known = ["cancel-spree".to_owned(), "price-bait".to_owned()];
        assert_eq!(
            nothing_of("cancel-spre", &known),
            "nothing that a rule cancel-spre restricted was found; rules in force: cancel-spree, price-bait; did you mean cancel-spree?"
        );
        assert!(nothing_of("nope", &known).ends_with("rules in force: cancel-spree, price-bait"));
        assert!(nothing_of("price-bait", &known).contains("it is in force"));
    }

    #[test]
    fn what_waits_for_a_second_person_says_so() {
        let draft = json!({ "draft": "d-1", "detail": "" });
        assert!(rules_in_force(&draft, true).contains("stockade rules approve d-1"));
        assert!(model(&draft, "champion", "is champion now").contains("POST /v1/drafts/d-1:approve"));
        let body = json!({ "champion": { "version": "abc" }, "challenger": null });
        assert_eq!(model(&body, "champion", "is champion now"), "the model abc is champion now");
        assert_eq!(
            rules_in_force(&json!({ "version": "abc", "approver": "ben" }), false),
            "abc is in force, approved by ben"
        );
    }
}
