//! Pages of dead letters, the newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stockade_log::{LogError, ReadLimit, SharedLog};
use stockade_model::{DeadLetter, Payload, Timestamp, Topic};

/// Letters on a page when nobody says, and the most there may be.
const PAGE: u64 = 50;
const PAGE_MAX: u64 = 200;
/// Bytes of a value that are shown: enough to see what it is.
const VALUE_BYTES: usize = 4_096;

/// Which part of them is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LettersQuery {
    /// Letters on the page; 50 when nobody says, 200 at most.
    #[serde(default)]
    limit: Option<u64>,
    /// `next` of the page before.
    #[serde(default)]
    before: Option<u64>,
}

/// A page of dead letters.
#[derive(Serialize, JsonSchema)]
pub(super) struct DeadLetters {
    /// The newest first.
    letters: Vec<Letter>,
    /// How many are kept; older ones went with the topic's retention.
    kept: u64,
    /// Send it as `before` for older ones; null at the end.
    next: Option<u64>,
}

/// What could not be processed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSeen")]
struct Letter {
    /// Where the letter itself lies.
    letter: u64,
    /// When it was written.
    at: Timestamp,
    /// Where the record was read.
    topic: String,
    /// Partition it was read from.
    partition: u32,
    /// Its offset.
    offset: u64,
    /// Stable reason.
    code: String,
    /// What was wrong.
    detail: String,
    /// How often it was tried.
    attempts: u32,
    /// The record type it claimed.
    kind: String,
    /// The beginning of the value, up to 4,096 bytes.
    value: String,
    /// Bytes of the whole value.
    value_bytes: usize,
}

/// The beginning of `text`, at a boundary of characters.
fn beginning(mut text: String) -> String {
    let mut end = VALUE_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl Letter {
    fn of(letter: u64, time_ms: i64, of: DeadLetter) -> Self {
        let DeadLetter { topic, partition, offset, code, detail, attempts, kind, value } = of;
        let at = Timestamp::from_ms(time_ms);
        let value_bytes = value.len();
        let value = beginning(value);
        Self { letter, at, topic, partition, offset, code, detail, attempts, kind, value, value_bytes }
    }
}

/// Reads a page of them.
pub(super) fn page(log: &SharedLog, query: &LettersQuery) -> Result<DeadLetters, LogError> {
    let topic = Topic::DeadLetters.name();
    let bounds = log.bounds(topic, 0)?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let end = query.before.unwrap_or(bounds.end).min(bounds.end);
    let from = end.saturating_sub(limit).max(bounds.first);
    let (mut letters, mut at) = (Vec::new(), from);
    while at < end {
        let records = log.read(topic, 0, at, ReadLimit::default())?;
        let Some(last) = records.last() else { break };
        at = last.offset + 1;
        for record in records.into_iter().filter(|record| record.offset < end) {
            // Only the platform itself writes there, so another kind is of a later version.
            if let Ok(Payload::DeadLetter(letter)) = Payload::decode("stockade.dead.letter", &record.value) {
                letters.push(Letter::of(record.offset, record.time_ms, letter));
            }
        }
    }
    letters.reverse();
    let next = (from > bounds.first).then_some(from);
    Ok(DeadLetters { letters, kept: bounds.end.saturating_sub(bounds.first), next })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, Route};

    use super::*;
    use crate::platform::topic_spec;

    fn letter(number: u64, value: String) -> DeadLetter {
        DeadLetter {
            topic: "events.inbox".to_owned(),
            partition: 0,
            offset: number,
            code: "undecodable".to_owned(),
            detail: "no JSON".to_owned(),
            attempts: 1,
            kind: "stockade.x".to_owned(),
            value,
        }
    }

    #[test]
    fn pages_go_from_the_newest_to_the_oldest_and_long_values_are_cut_between_characters() {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), Arc::new(|| 7)).unwrap());
        log.ensure_topic(&topic_spec(Topic::DeadLetters, 1)).unwrap();
        for number in 0..5 {
            let value = if number == 4 { "é".repeat(4_000) + "x" } else { "{".to_owned() };
            let value = stockade_model::encode::json(&letter(number, value)).into();
            let (route, key, headers) = (Route::Partition(0), Bytes::new(), Vec::new());
            let record = NewRecord { topic: Topic::DeadLetters.name(), route, key, headers, value };
            log.append(vec![record], Ack::Ordered).wait().unwrap();
        }
        let ask = |limit, before| page(&log, &LettersQuery { limit: Some(limit), before }).unwrap();
        let first = ask(2, None);
        let offsets =
            |page: &DeadLetters| page.letters.iter().map(|letter| letter.offset).collect::<Vec<_>>();
        assert_eq!((offsets(&first), first.next, first.kept), (vec![4, 3], Some(3), 5));
        assert_eq!((first.letters[0].value.len(), first.letters[0].value_bytes), (4_096, 8_001));
        let last = ask(50, first.next);
        assert_eq!((offsets(&last), last.next), (vec![2, 1, 0], None));
    }
}
