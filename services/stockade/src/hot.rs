//! What of the configuration changes while the server runs: the limits of callers, how much one supplier may have, and what one buyer may have at once. The file is looked at like that of the keys, and
//! read again as it was at the start, with the variables and flags that win over it. Of all else that has changed in it the log says
//! that it waits for a restart.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use stockade_inventory::app::App;
use stockade_runtime::{Limits, Shutdown};

use crate::config::{Config, Place};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another without reading it.
fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What changes while the server runs.
const HOT: [&str; 5] =
    ["limits", "edge.listings_max", "edge.new_listings_max", "edge.locations_max", "edge.buyers"];

/// The keys by which two configurations differ and that are read at a start only.
fn wait_for_restart(started: &Config, now: &Config) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    // A configuration is always fit for JSON, for operators are shown it.
    let shown = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    differing("", &shown(started), &shown(now), &mut keys);
    // What is never shown looks the same there whatever it is.
    let hidden = [
        ("redis.url", started.redis.url.0 != now.redis.url.0),
        ("kafka.security.password", started.kafka.security.password.0 != now.kafka.security.password.0),
        ("kafka.settings", started.kafka.settings != now.kafka.settings),
    ];
    for (key, differs) in hidden {
        let is_said =
            || keys.iter().any(|said| said.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
        if differs && !is_said() {
            keys.insert(key.to_owned());
        }
    }
    keys
}

/// Adds the paths at which `a` and `b` differ, all but those of what changes while the server runs.
fn differing(path: &str, a: &Value, b: &Value, keys: &mut BTreeSet<String>) {
    if a == b || HOT.contains(&path) {
        return;
    }
    let (Value::Object(of_a), Value::Object(of_b)) = (a, b) else {
        keys.insert(path.to_owned());
        return;
    };
    for name in of_a.keys().chain(of_b.keys()).collect::<BTreeSet<_>>() {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let at = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or_default();
        differing(&inner, &at(of_a), &at(of_b), keys);
    }
}

/// Keeps the limits of a running server, and the bounds of suppliers where it takes them in, as its configuration file says, until
/// `shutdown`. A file that is wrong changes nothing.
pub(crate) async fn follow(
    place: Place,
    flags: Vec<(&'static str, Option<String>)>,
    config: Config,
    (limits, app): (Limits, Option<Arc<App>>),
    shutdown: Shutdown,
) {
    let Some(file) = place.config.clone() else { return };
    let (mut known, mut in_force) = (None, (config.limits.clone(), config.edge.buyers.clone()));
    let mut waiting = BTreeSet::new();
    let mut looks = tokio::time::interval(LOOK);
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = looks.tick() => {}
        }
        let (file, place, flags) = (file.clone(), place.clone(), flags.clone());
        let read = move || {
            let now = state(&file);
            (now != known).then(|| (now, Config::read(&place, &flags)))
        };
        let Ok(Some((now, read))) = tokio::task::spawn_blocking(read).await else { continue };
        known = now;
        match read {
            Ok(now) => {
                if now.limits != in_force.0 {
                    limits.replace(&now.limits);
                    tracing::info!("the limits of the configuration have changed and are in force");
                    in_force.0 = now.limits.clone();
                }
                if now.edge.buyers != in_force.1 {
                    in_force.1 = now.edge.buyers.clone();
                    if let Some(app) = &app {
                        // Connections are as many as at the start.
                        app.set_buyers(in_force.1.clone().within(config.http.connections.per_key_max()));
                        tracing::info!("what one buyer's key may have at once has changed and is in force");
                    }
                }
                let bounds = now.edge.bounds();
                if let Some(edge) =
                    app.as_ref().map(|app| &app.gate_of_edge).filter(|edge| edge.bounds() != bounds)
                {
                    edge.set_bounds(bounds);
                    tracing::info!("how much one supplier may have has changed and is in force");
                }
                let wait = wait_for_restart(&config, &now);
                if wait != waiting {
                    say(&wait);
                    waiting = wait;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration file cannot be read; the limits stay as they are");
            }
        }
    }
}

/// Says which keys wait for a restart, and when there are none any more.
fn say(wait: &BTreeSet<String>) {
    if wait.is_empty() {
        tracing::info!("the configuration file is again as at the start: nothing in it waits for a restart");
        return;
    }
    let keys: Vec<_> = wait.iter().map(String::as_str).collect();
    tracing::warn!(
        "the configuration file has changed in {}: that is read at a start only, so restart the server for it",
        keys.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hidden;

    #[test]
    fn whatever_a_start_alone_reads_is_named_and_limits_and_secrets_are_not_shown() {
        let started = Config::default();
        assert!(wait_for_restart(&started, &started.clone()).is_empty());
        let mut now = started.clone();
        now.limits.0.clear();
        (now.edge.listings_max, now.edge.new_listings_max, now.edge.locations_max) = (1, 2, 3);
        now.edge.buyers.open_holds_max += 1;
        assert!(wait_for_restart(&started, &now).is_empty(), "limits are in force at once");
        now.imports.confirm_percent += 1;
        now.http.answer_deadline_ms += 1;
        now.redis.url = Hidden("redis://:hunter2@r:1".to_owned());
        now.edge.new_supplier_days += 1;
        let keys: Vec<_> = wait_for_restart(&started, &now).into_iter().collect();
        assert_eq!(
            keys,
            ["edge.new_supplier_days", "http.answer_deadline_ms", "imports.confirm_percent", "redis.url"]
        );
    }

    #[test]
    fn a_setting_of_kafka_is_named_once_also_where_it_is_a_secret() {
        let (started, mut now) = (Config::default(), Config::default());
        now.kafka.settings.insert("ssl.key.password".to_owned(), "x".to_owned());
        let named = wait_for_restart(&started, &now);
        assert_eq!(named.iter().collect::<Vec<_>>(), ["kafka.settings.ssl.key.password"]);
        let before = now.clone();
        now.kafka.settings.insert("ssl.key.password".to_owned(), "y".to_owned());
        let named = wait_for_restart(&before, &now);
        assert_eq!(named.iter().collect::<Vec<_>>(), ["kafka.settings"]);
    }
}
