//! Verifying the hash chain over all decisions in the background, as `stockade audit verify` does from outside.

use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use stockade_log::SharedLog;
use stockade_model::{Timestamp, Topic};
use stockade_runtime::clock;

/// Decisions between two reports of how far it is.
const REPORT_EVERY: u64 = 256;

/// What a verification found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finding {
    /// None was asked for since the process started.
    #[default]
    Never,
    /// It is under way.
    Running,
    /// Every decision is linked to the one before it.
    Holds,
    /// A decision was changed, removed or put in.
    Broken,
    /// The log could not be read to its end.
    Failed,
}

/// How far a verification is, or what it found.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Audit {
    state: Finding,
    /// Decisions that were found linked.
    decisions: u64,
    /// Everything before this offset of `lockout.decisions` was looked at.
    offset: u64,
    /// Where the log ended when it began.
    end: u64,
    /// When it began; null when it never did.
    began_at: Option<Timestamp>,
    /// When it ended; null until it has.
    ended_at: Option<Timestamp>,
    /// What is wrong and where; null while nothing is.
    detail: Option<String>,
}

/// Verifies, one verification at a time.
#[derive(Clone)]
pub(super) struct Verifier {
    log: SharedLog,
    state: Arc<Mutex<Audit>>,
}

impl Verifier {
    pub(super) fn new(log: SharedLog) -> Self {
        Self { log, state: Arc::default() }
    }

    pub(super) fn state(&self) -> Audit {
        self.state.lock().clone()
    }

    /// Begins one unless it is under way, on a thread that may block.
    pub(super) fn begin(&self) -> Audit {
        let mut state = self.state.lock();
        if state.state != Finding::Running {
            let began_at = Some(Timestamp::from_ms(clock::now_ms()));
            *state = Audit { state: Finding::Running, began_at, ..Audit::default() };
            let verifier = self.clone();
            tokio::task::spawn_blocking(move || verifier.run());
        }
        state.clone()
    }

    fn run(&self) {
        let ended = self.read();
        let mut state = self.state.lock();
        state.ended_at = Some(Timestamp::from_ms(clock::now_ms()));
        match ended {
            Ok(None) => state.state = Finding::Holds,
            Ok(Some(offset)) => {
                state.state = Finding::Broken;
                state.detail = Some(format!(
                    "the chain breaks at offset {offset}: a decision was changed, removed or put in"
                ));
            }
            Err(error) => {
                state.state = Finding::Failed;
                state.detail = Some(format!("{error}; verify again when the log can be read"));
            }
        }
    }

    /// Where the chain breaks, if it does. What is decided meanwhile is looked at as well.
    fn read(&self) -> anyhow::Result<Option<u64>> {
        self.state.lock().end = self.log.bounds(Topic::LockoutDecisions.name(), 0)?.end;
        let (mut link, mut count, mut broken) = (String::new(), 0_u64, None);
        let next = crate::decisions::read(&self.log, 0, |offset, decision| {
            if broken.is_none() && decision.chain != decision.link(&link) {
                broken = Some(offset);
            }
            anyhow::ensure!(broken.is_none(), "the chain breaks");
            link = decision.chain;
            count += 1;
            if count.is_multiple_of(REPORT_EVERY) {
                let mut state = self.state.lock();
                (state.decisions, state.offset) = (count, offset + 1);
            }
            Ok(())
        });
        let mut state = self.state.lock();
        state.decisions = count;
        match (broken, next) {
            (Some(offset), _) => {
                state.offset = offset;
                Ok(Some(offset))
            }
            (None, Ok(next)) => {
                state.offset = next;
                state.end = state.end.max(next);
                Ok(None)
            }
            (None, Err(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, Route};
    use stockade_model::Decision;

    use super::*;
    use crate::platform::topic_spec;

    fn decided(number: u64, previous: &str) -> Decision {
        let mut decision: Decision = serde_json::from_value(json!({
            "version": format!("arbiter/0/0/{number}/0"), "at": "2026-10-01T00:00:00.000Z", "supplier": "s-1", "action": "dismissed",
            "in_force": [], "chain": "",
        }))
        .unwrap();
        decision.chain = decision.link(previous);
        decision
    }

    #[test]
    fn a_chain_holds_until_a_decision_is_put_in_and_then_it_is_said_where() {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), Arc::new(|| 7)).unwrap());
        log.ensure_topic(&topic_spec(Topic::LockoutDecisions, 1)).unwrap();
        let append = |decision: &Decision| {
            let (route, key, headers) = (Route::Partition(0), Bytes::new(), Vec::new());
            let value = stockade_model::encode::json(decision).into();
            let record = NewRecord { topic: Topic::LockoutDecisions.name(), route, key, headers, value };
            log.append(vec![record], Ack::Ordered).wait().unwrap();
        };
        let verifier = Verifier::new(log.clone());
        assert_eq!(verifier.state().state, Finding::Never);
        let first = decided(1, "");
        append(&first);
        append(&decided(2, &first.chain));
        verifier.run();
        let found = verifier.state();
        assert_eq!((found.state, found.decisions, found.offset), (Finding::Holds, 2, 2));
        append(&decided(3, "something else"));
        verifier.run();
        let found = verifier.state();
        assert_eq!((found.state, found.decisions, found.offset), (Finding::Broken, 2, 2));
        assert!(found.detail.unwrap().contains("offset 2"));
    }
}
