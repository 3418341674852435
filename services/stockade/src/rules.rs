//! `stockade rules`: the life of a rule from the command line.

use crate::output::say;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};
use stockade_model::Timestamp;
use stockade_rules::{RuleError, RuleSet, RuleSpec};
use stockade_runtime::http::path_segment;
use stockade_supplier_scoring::vocabulary;

use crate::{
    acts,
    client::Server,
    inputs::read,
    marketplace::{self, Which},
    output::{self, count},
    server_url::ServerUrl,
};

/// What to do with rules.
#[derive(Subcommand)]
pub enum Command {
    /// Compile a rule set and report every problem with its place.
    Check {
        /// The YAML file.
        file: PathBuf,
        /// A declaration of features other than the initial one.
        #[arg(long)]
        features: Option<PathBuf>,
    },
    /// Run the examples of a rule set and show each.
    Test {
        /// The YAML file.
        file: PathBuf,
        /// A declaration of features other than the initial one.
        #[arg(long)]
        features: Option<PathBuf>,
    },
    /// List the features and measures rules may read.
    Features,
    /// Print the starter rule set.
    Starter,
    /// What differs between a rule set and another file, or the set in force.
    Diff {
        /// The YAML file.
        file: PathBuf,
        /// The other file; the set in force on a server when absent.
        other: Option<PathBuf>,
        /// Where, and who; only without another file.
        #[command(flatten)]
        server: MaybeServer,
    },
    /// Print the rule set in force.
    Show(Server),
    /// What a rule set catches and whom it hurts on a marketplace of the simulator, beside another set.
    Try {
        /// The YAML file.
        file: PathBuf,
        /// The other set; the starter set when absent.
        #[arg(long)]
        against: Option<PathBuf>,
        /// Which marketplace; the hard one when absent.
        #[command(flatten)]
        marketplace: Which,
        /// Print one JSON object on the last line.
        #[arg(long)]
        json: bool,
    },
    /// What a rule set would have done in the past.
    Backtest {
        /// The YAML file; the set in force when absent.
        file: Option<PathBuf>,
        /// How far back.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// What buyers would no longer see if all rules of a set were live now.
    Impact {
        /// The YAML file; the set in force when absent.
        file: Option<PathBuf>,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Why rules say what they say of a supplier.
    Explain {
        /// The supplier.
        supplier: String,
        /// One rule; all when absent.
        #[arg(long)]
        rule: Option<String>,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Put a rule set in force, or before a second pair of eyes where these are asked for.
    Publish {
        /// The YAML file.
        file: PathBuf,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Put the rule set that waits for a second pair of eyes in force.
    Approve {
        /// Its version.
        version: String,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Put the rule set before that in force, or a given one, back in force.
    Rollback {
        /// The version.
        #[arg(long)]
        to: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Restore everyone whom a rule restricted: release what it imposed, dismiss what a budget held back of it.
    Undo {
        /// The rule.
        rule: String,
        /// What it imposed since then: a time (`2026-11-26T08:00:00Z`) or how long ago (`2h`); all when absent.
        #[arg(long)]
        since: Option<String>,
        /// Stop the rule in the same act: it does nothing any more until it is rearmed.
        #[arg(long)]
        stop: bool,
        /// Release what a person confirmed as well.
        #[arg(long)]
        confirmed: bool,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
    /// Put all rules in shadow at once, or bring them back; nothing is lifted by it.
    Kill {
        /// `on` or `off`.
        #[arg(value_parser = ["on", "off"])]
        switch: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Where, and who.
        #[command(flatten)]
        server: Server,
    },
}

/// A server that need not be given.
#[derive(clap::Args)]
pub struct MaybeServer {
    /// Address of the API: host:port, or a URL without a path such as https://stockade.example.
    #[arg(long, default_value = "127.0.0.1:7400")]
    server: ServerUrl,
    /// An analyst's key; better given by the environment than on the command line.
    #[arg(long, env = "STOCKADE_KEY", hide_env_values = true)]
    key: Option<String>,
}

fn read_or_none(path: Option<&PathBuf>) -> Result<String> {
    path.map_or(Ok(String::new()), |path| read(path))
}

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Check { file, features } => {
            let (set, warnings) = check(&file, features.as_ref())?;
            let rules = set.rules().len();
            let (rules, warnings) = (count(rules, "rule", "rules"), count(warnings, "warning", "warnings"));
            say!("{}: {rules}, {warnings}, version {}", file.display(), set.version);
            Ok(())
        }
        Command::Test { file, features } => test(&file, features.as_ref()),
        Command::Features => {
            let schema = vocabulary().initial;
            for feature in schema.features() {
                let (low, high) = (feature.bounds.low, feature.bounds.high);
                let bounds = if high < f64::MAX { format!(", {low} to {high}") } else { String::new() };
                say!("{:<32} {:<8} {}{bounds}", feature.name, feature.unit, feature.meaning);
            }
            say!("\nWindows from 30s to 90d of these measures may be bound where they are used, such as");
            say!(
                "cancellations.count(\"7d\"), .buyers, .sum, .mean, .rate, and wilson_lower(cancellations, \"7d\"):"
            );
            say!("{}", schema.measures().join(", "));
            say!("\nAlso: score, now (record time), supplier.id, listing.id, listing.sku;");
            say!("known(feature) asks whether there is a value, such as known(account.payout_changed_hours)");
            Ok(())
        }
        Command::Starter => {
            output::write(format_args!("{}", stockade_lockout::STARTER_RULES));
            Ok(())
        }
        Command::Diff { file, other, server } => diff(&file, other.as_ref(), server),
        Command::Show(server) => {
            let body = server.ask(Method::GET, "/v1/rules", &[], Vec::new())?.json()?;
            output::write(format_args!("{}", body["source"].as_str().unwrap_or_default()));
            Ok(())
        }
        Command::Backtest { file, days, server } => backtest(file.as_ref(), days, &server),
        Command::Try { file, against, marketplace, json } => {
            compile(&file, None)?;
            if let Some(against) = &against {
                compile(against, None)?;
            }
            let against = against.as_deref().map(read).transpose()?;
            let against = against.unwrap_or_else(|| stockade_lockout::STARTER_RULES.to_owned());
            marketplace::compare(&marketplace, &read(&file)?, &against, json)
        }
        Command::Impact { file, server } => {
            let source = read_or_none(file.as_ref())?;
            show(&server.ask(Method::POST, "/v1/rules:impact", &[], source.into_bytes())?.json()?)
        }
        Command::Explain { supplier, rule, server } => {
            let body = json!({ "supplier": supplier, "rule": rule });
            let body =
                server.ask(Method::POST, "/v1/rules:explain", &[], body.to_string().into_bytes())?.json()?;
            for rule in body["rules"].as_array().into_iter().flatten() {
                say!("{} ({}, {})", text(&rule["rule"]), text(&rule["mode"]), text(&rule["truth"]));
                rule["tree"].as_array().into_iter().flatten().for_each(|line| say!("  {}", text(line)));
                for other in rule["counterfactuals"].as_array().into_iter().flatten() {
                    let decides =
                        if other["decides"] == json!(true) { "would change it" } else { "alone would not" };
                    say!(
                        "  {} {} if it were {}: {decides}",
                        text(&other["feature"]),
                        text(&other["test"]),
                        other["needed"]
                    );
                }
            }
            Ok(())
        }
        Command::Publish { file, note, server } => publish(&file, &note, &server),
        Command::Approve { version, server } => {
            let body = json!({ "version": version }).to_string().into_bytes();
            let body = server.ask(Method::POST, "/v1/rules:approve", &[], body)?.json()?;
            say!("{}", acts::rules_in_force(&body, false));
            Ok(())
        }
        Command::Rollback { to, reason, server } => {
            let body = json!({ "to": to, "reason": reason }).to_string().into_bytes();
            let body = server.ask(Method::POST, "/v1/rules:rollback", &[], body)?.json()?;
            say!("{}", acts::rules_in_force(&body, true));
            Ok(())
        }
        Command::Undo { rule, since, stop, confirmed, reason, server } => {
            let since = since.map(|since| moment(&since)).transpose()?;
            let body = json!({ "since": since, "stop": stop, "confirmed": confirmed, "reason": reason });
            let path = format!("/v1/rules/{}:restore", path_segment(&rule));
            let answer = server.ask(Method::POST, &path, &[], body.to_string().into_bytes())?;
            match acts::restored(&answer.json()?, &rule, answer.status) {
                Some(sentence) => {
                    say!("{sentence}");
                    Ok(())
                }
                None => anyhow::bail!("{}", acts::nothing_of(&rule, &ids_in_force(&server)?)),
            }
        }
        Command::Kill { switch, reason, server } => {
            let body = json!({ "on": switch == "on", "reason": reason }).to_string().into_bytes();
            let answer = server.ask(Method::PUT, "/v1/ops/kill-switch", &[], body)?;
            say!("{}", acts::kill(switch == "on", answer.status));
            Ok(())
        }
    }
}

/// Ids of the rules in force on a server.
fn ids_in_force(server: &Server) -> Result<Vec<String>> {
    let body = server.ask(Method::GET, "/v1/rules", &[], Vec::new())?.json()?;
    let set = RuleSet::read(body["source"].as_str().unwrap_or_default());
    let rules = set.map(|set| set.rules).unwrap_or_default();
    Ok(rules.into_iter().map(|rule| rule.id.to_string()).collect())
}

/// A time, or how long ago it was.
fn moment(since: &str) -> Result<Timestamp> {
    if let Ok(at) = Timestamp::parse(since) {
        return Ok(at);
    }
    let ago = stockade_rules::parse_duration_ms(since)
        .context("--since is a time such as 2026-11-26T08:00:00Z, or how long ago such as 2h")?;
    Ok(Timestamp::from_ms(stockade_runtime::clock::now_ms() - ago))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn show(body: &Value) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(body)?);
    Ok(())
}

/// Where a finding is to be looked for: `file:line:column`, as editors know it.
fn place(file: &Path, finding: &RuleError) -> String {
    match (finding.source_line, finding.source_column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", file.display()),
        _ => file.display().to_string(),
    }
}

fn refuse(file: &Path, errors: &[RuleError]) -> anyhow::Error {
    errors.iter().for_each(|error| output::complain(format_args!("{}: {error}", place(file, error))));
    anyhow::anyhow!("{}; nothing of this set would be used", count(errors.len(), "problem", "problems"))
}

fn compile(file: &Path, features: Option<&PathBuf>) -> Result<std::sync::Arc<RuleSet>> {
    let (source, declaration) = (read(file)?, read_or_none(features)?);
    vocabulary().compile(&declaration, &source).map_err(|errors| refuse(file, &errors))
}

/// Judges a set as publishing would now, and prints what is hardly meant; answers how many warnings there are.
fn check(file: &Path, features: Option<&PathBuf>) -> Result<(std::sync::Arc<RuleSet>, usize)> {
    let set = compile(file, features)?;
    let errors = set.unpublishable(&read(file)?, stockade_runtime::clock::now_ms());
    if !errors.is_empty() {
        return Err(refuse(file, &errors));
    }
    for warning in set.warnings() {
        output::complain(format_args!("{}: warning ({}): {warning}", place(file, warning), warning.code));
    }
    let warnings = set.warnings().len();
    Ok((set, warnings))
}

fn test(file: &Path, features: Option<&PathBuf>) -> Result<()> {
    // A set compiles only if all its examples come out, and says which do not.
    let (set, _) = check(file, features)?;
    let mut examples = 0;
    for rule in set.rules() {
        for example in &rule.spec.examples {
            say!("ok   {}: {} is {:?}", rule.spec.id, example.name, example.expect);
            examples += 1;
        }
        if rule.spec.examples.is_empty() {
            say!("none {}: has no examples", rule.spec.id);
        }
    }
    let examples = count(examples, "example", "examples");
    say!("{examples} of {} came out as written", count(set.rules().len(), "rule", "rules"));
    Ok(())
}

fn diff(file: &Path, other: Option<&PathBuf>, server: MaybeServer) -> Result<()> {
    let (before, after) = match other {
        Some(other) => (read(other)?, read(file)?),
        None => {
            let key = server.key.context("give another file, or a server and a key by STOCKADE_KEY")?;
            let server = Server { server: server.server, key };
            let body = server.ask(Method::GET, "/v1/rules", &[], Vec::new())?.json()?;
            (body["source"].as_str().unwrap_or_default().to_owned(), read(file)?)
        }
    };
    let specs = |source: &str| -> Result<(BTreeMap<String, RuleSpec>, Value)> {
        if source.trim().is_empty() {
            return Ok((BTreeMap::new(), json!({})));
        }
        let set = RuleSet::read(source).map_err(|errors| anyhow::anyhow!("{}", errors[0]))?;
        let rest = json!({ "let": set.lets, "budget": set.budget, "jitter": set.jitter, "trust_up_to": set.trust_up_to });
        Ok((set.rules.into_iter().map(|rule| (rule.id.to_string(), rule)).collect(), rest))
    };
    let ((before, rest_before), (after, rest_after)) = (specs(&before)?, specs(&after)?);
    let mut changes = 0;
    let mut say = |line: String| {
        say!("{line}");
        changes += 1;
    };
    for (field, line) in fields_that_differ(&rest_before, &rest_after) {
        say(format!("set, {field}: {line}"));
    }
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        say(format!("- {id}"));
    }
    for (id, rule) in &after {
        match before.get(id) {
            None => say(format!("+ {id}: {} ({:?}, {})", rule.when.trim(), rule.mode, rule.level.as_str())),
            Some(known) => {
                for (field, line) in fields_that_differ(&json!(known), &json!(rule)) {
                    say(format!("~ {id}, {field}: {line}"));
                }
            }
        }
    }
    if changes == 0 {
        say!("no rule differs");
    }
    Ok(())
}

fn fields_that_differ(before: &Value, after: &Value) -> Vec<(String, String)> {
    let none = serde_json::Map::new();
    let (before, after) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
    let mut fields: Vec<&String> = before.keys().chain(after.keys()).collect();
    fields.sort();
    fields.dedup();
    let value =
        |of: &serde_json::Map<String, Value>, field: &str| of.get(field).cloned().unwrap_or(Value::Null);
    fields
        .into_iter()
        .filter(|field| value(before, field) != value(after, field))
        .map(|field| (field.clone(), format!("{} -> {}", value(before, field), value(after, field))))
        .collect()
}

fn publish(file: &Path, note: &str, server: &Server) -> Result<()> {
    let current = server.ask(Method::GET, "/v1/rules", &[], Vec::new())?;
    let tag = current.header("etag").unwrap_or_default().to_owned();
    let encoded: String = note
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let path = format!("/v1/rules?note={encoded}");
    let answer = server.ask(Method::PUT, &path, &[("if-match", &tag)], read(file)?.into_bytes())?;
    let body = answer.json()?;
    for warning in body["warnings"].as_array().into_iter().flatten() {
        let line = text(&warning["source_line"]);
        let (rule, detail) = (text(&warning["rule"]), text(&warning["detail"]));
        output::complain(format_args!("{}:{line}: warning: {rule}: {detail}", file.display()));
    }
    match body["draft"].as_str() {
        Some(draft) => {
            say!("{draft} waits for approval: `stockade rules approve {draft}` by somebody else")
        }
        None => say!("{} is in force; it was {} before", text(&body["version"]), tag.trim_matches('"')),
    }
    Ok(())
}

/// How often a backtest is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(300);

#[allow(clippy::disallowed_methods, reason = "it asks another process how far it is, between times")]
fn backtest(file: Option<&PathBuf>, days: u32, server: &Server) -> Result<()> {
    let body = json!({ "source": read_or_none(file)?, "days": days }).to_string().into_bytes();
    let mut status = server.ask(Method::POST, "/v1/rules:backtest", &[], body)?.json()?;
    let path = format!("/v1/backtests/{}", text(&status["job"]));
    while status["state"] == "running" || status["state"] == "cancelling" {
        std::thread::sleep(ASK_EVERY);
        status = server.ask(Method::GET, &path, &[], Vec::new())?.json()?;
        output::progress(format_args!("{} of {} records", status["records_done"], status["records"]));
    }
    output::complain(format_args!(""));
    anyhow::ensure!(
        status["state"] == "done",
        "the backtest {}: {}",
        text(&status["state"]),
        text(&status["error"])
    );
    show(&status["report"])
}
