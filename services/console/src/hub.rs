//! What all tabs see. Nothing is queued for anybody: a tab has a place in the feed and the versions of the states it was told, and
//! takes what is newer when it can. So a slow one costs nothing, and one that was away goes on where it was.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::RwLock;
use serde_json::{Value, json};
use stockade_model::{Action, Decision, Level};
use stockade_runtime::clock;
use tokio::sync::watch;

use crate::{
    Alert, Annotation, Row, Sample,
    feed::{Feed, Kept},
    history::History,
    tallies::Tallies,
};

/// Marks kept for the curves.
const ANNOTATIONS_MAX: usize = 500;
/// Changes after which a restriction keeps offers from buyers.
const WITHHOLDS: [Level; 2] = [Level::Quarantine, Level::Lockout];

#[derive(Default)]
struct Data {
    feed: Feed,
    tallies: Tallies,
    history: History,
    annotations: VecDeque<Annotation>,
    alerts: Vec<Alert>,
    rules: Option<String>,
    /// By name, with the version at which it became what it is.
    states: BTreeMap<&'static str, (u64, Arc<str>)>,
    version: u64,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    data: Arc<RwLock<Data>>,
    changed: watch::Sender<u64>,
    closed: watch::Sender<bool>,
    /// Differs from start to start, so that a page knows when it talks to another one.
    pub(crate) instance: Arc<str>,
}

/// What a tab has not been told yet.
pub(crate) struct News {
    pub(crate) rows: Vec<Kept>,
    /// Rows that are no longer here.
    pub(crate) missed: u64,
    pub(crate) next: u64,
    pub(crate) states: Vec<(&'static str, Arc<str>)>,
    pub(crate) version: u64,
}

impl Hub {
    /// A hub of a process whose starts are told apart by `instance`.
    pub fn new(instance: &str) -> Self {
        let (data, changed, closed) = (Arc::default(), watch::Sender::new(0), watch::Sender::new(false));
        Self { data, changed, closed, instance: instance.into() }
    }

    /// A decision was read from the log.
    pub fn decided(&self, offset: u64, decision: &Decision) {
        let row = Row::of(offset, decision);
        let mut data = self.data.write();
        if offset < data.feed.next {
            return;
        }
        data.feed.add(&row);
        data.tallies.add(&row, decision.action.as_str());
        let withholds = row.level.is_some_and(|level| WITHHOLDS.contains(&level));
        if withholds && matches!(decision.action, Action::Imposed | Action::Raised) {
            let by = row.rule.as_deref().or(row.actor.as_deref()).unwrap_or("a person");
            let text = format!("{} withheld by {by}", row.supplier);
            data.mark(Annotation { at: row.at.ms(), kind: "lockout", text });
        }
        drop(data);
        self.tell();
    }

    /// The figures of a second, and the states as they are now.
    pub fn sampled(&self, sample: &Sample) {
        let now_ms = clock::now_ms();
        let mut data = self.data.write();
        data.version += 1;
        if let Some(rules) = &sample.rules
            && data.rules.as_ref() != Some(rules)
        {
            // The first one seen was there before; nobody published it now.
            if data.rules.is_some() {
                let short: String = rules.chars().take(8).collect();
                data.mark(Annotation {
                    at: now_ms,
                    kind: "publish",
                    text: format!("rule set {short} in force"),
                });
            }
            data.rules = Some(rules.clone());
        }
        let second = data.history.add(now_ms, sample);
        let tallies = data.tallies.told(now_ms);
        let overview = json!({ "second": second, "tallies": tallies, "annotations": data.recent_marks(50) });
        data.put("overview", &overview);
        data.show(sample);
        drop(data);
        self.tell();
    }

    /// What a person should look at, and states, as they are now: they are told at once, between two seconds.
    pub fn alerted(&self, sample: &Sample) {
        let mut data = self.data.write();
        data.version += 1;
        data.show(sample);
        drop(data);
        self.tell();
    }

    /// A state that pages follow is another one from now on.
    pub fn put(&self, name: &'static str, state: &Value) {
        let mut data = self.data.write();
        data.version += 1;
        data.put(name, state);
        drop(data);
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Ends all streams; the process is about to.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.tell();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Where a tab begins: behind what it was told, or `back` rows before the end. A place that is not of this log is no place.
    pub(crate) fn begin(&self, last: Option<u64>, back: usize) -> (u64, bool) {
        let data = self.data.read();
        match last {
            Some(next) if next <= data.feed.next => (next, true),
            _ => (data.feed.back(back), false),
        }
    }

    /// What is new since `from` and `version`, of the states for which `wanted` is true.
    pub(crate) fn news(&self, from: u64, version: u64, most: usize, wanted: impl Fn(&str) -> bool) -> News {
        let data = self.data.read();
        let first = data.feed.first();
        let rows = data.feed.from(from, most);
        let next = rows.last().map_or(from.max(first), |row| row.offset + 1);
        let newer = data.states.iter().filter(|(name, (at, _))| *at > version && wanted(name));
        News {
            missed: first.saturating_sub(from),
            next,
            rows,
            states: newer.map(|(name, (_, state))| (*name, state.clone())).collect(),
            version: data.version,
        }
    }

    /// What the overview shows before anything new comes.
    pub(crate) fn overview(&self, is_by_minute: bool) -> Value {
        let data = self.data.read();
        json!({
            "history": data.history.columns(is_by_minute),
            "annotations": data.annotations,
            "tallies": data.tallies.told(clock::now_ms()),
            "alerts": data.alerts,
        })
    }
}

impl Data {
    fn mark(&mut self, annotation: Annotation) {
        self.annotations.push_back(annotation);
        if self.annotations.len() > ANNOTATIONS_MAX {
            self.annotations.pop_front();
        }
    }

    fn recent_marks(&self, most: usize) -> Vec<&Annotation> {
        self.annotations.iter().rev().take(most).collect()
    }

    fn show(&mut self, sample: &Sample) {
        self.alerts.clone_from(&sample.alerts);
        self.put("alerts", &json!(sample.alerts));
        for (name, state) in &sample.states {
            self.put(name, state);
        }
    }
    fn put(&mut self, name: &'static str, state: &Value) {
        let text = state.to_string();
        if self.states.get(name).is_none_or(|(_, known)| **known != *text) {
            let version = self.version;
            self.states.insert(name, (version, text.into()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
