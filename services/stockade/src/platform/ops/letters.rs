//! Pages of dead letters, the newest first, and playing one again.
//!
//! Playing again appends the record once more where it had been read, which helps where a later build reads what an earlier one could not.
//! It is done once, unless two processes are asked at the same moment or the log fails between the record and what says so; whoever
//! reads the record knows it by its id, so the second does nothing. That is why old writes of suppliers are refused.
//! What was done stands beside the letters, in `dead.letters` itself: whoever lists them reads it there, whichever process wrote it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::http::StatusCode;
use bytes::Bytes;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stockade_log::{LogError, NewRecord, ReadLimit, Record, Route, SharedLog};
use stockade_model::{
    DeadLetter, Envelope, LetterReplayed, Payload, Timestamp, Topic,
    envelope::header::{CAUSE_ID, CAUSE_TIME, ID, POSITION, SOURCE, TRACEPARENT, TYPE},
    time::DAY_MS,
};
use stockade_runtime::Problem;

/// Letters on a page when nobody says, and the most there may be.
const PAGE: u64 = 50;
const PAGE_MAX: u64 = 200;
/// Bytes of a value that are shown: enough to see what it is.
const VALUE_BYTES: usize = 4_096;

/// The topics that callers feed. Records of all others are made by folds.
const OF_CALLERS: [Topic; 2] = [Topic::EventsInbox, Topic::SupplierEvents];
/// What the platform itself appends there: the passing of time.
const TICK: &str = "stockade.tick";
/// A supplier's write, by whose id inventory knows it again for as long as [`COMMAND_MS`].
const COMMAND: &str = "stockade.inventory.command";
/// Past it a change of stock by so many would count once more.
const COMMAND_MS: i64 = DAY_MS;
const REPLAYED: &str = "stockade.dead.replayed";
/// Records of `dead.letters` that are looked through for what was played again, counted from its end at the first look.
const LOOKED_BACK: u64 = 100_000;
const ONE: ReadLimit = ReadLimit { records: 1, bytes: 16 << 20 };

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
    /// Whether its topic is one that callers feed: only such a record can be played again.
    replayable: bool,
    /// Who had its record played again; null while nobody has.
    replayed: Option<Played>,
}

/// Who had a record played again, when and why.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterReplayed")]
pub(super) struct Played {
    actor: String,
    reason: String,
    at: Timestamp,
}

impl Played {
    /// By somebody, at this moment.
    pub(super) fn now(actor: &str, reason: &str) -> Self {
        let at = Timestamp::from_ms(stockade_runtime::clock::now_ms());
        Self { actor: actor.to_owned(), reason: reason.to_owned(), at }
    }
}

/// Where a record lies: topic, partition, offset.
type Place = (String, u32, u64);

#[derive(Default)]
struct Known {
    /// Next offset of `dead.letters` to look at; nothing was looked at yet where it is none.
    next: Option<u64>,
    /// By the record that was played again: several folds may have written a letter of the same one.
    by_record: HashMap<Place, Played>,
    /// Offsets of what says so, which are no letters.
    notes: BTreeSet<u64>,
}

/// What was played again, as far as it was looked for.
#[derive(Clone, Default)]
pub(super) struct Replays {
    known: Arc<Mutex<Known>>,
    /// One is played at a time in a process, so that two clicks are one.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Replays {
    /// Looks at what is new in `dead.letters`. Blocks.
    fn look(&self, log: &SharedLog) -> Result<(), LogError> {
        let topic = Topic::DeadLetters.name();
        let bounds = log.bounds(topic, 0)?;
        // Nothing is held while the log is read: whoever looks at the same time reads the same, and it is entered once.
        let begun = self.known.lock().next;
        let mut next = begun.unwrap_or(bounds.end.saturating_sub(LOOKED_BACK)).max(bounds.first);
        let (mut notes, mut found) = (Vec::new(), Vec::new());
        while next < bounds.end {
            let records = log.read(topic, 0, next, ReadLimit::default())?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            for record in records.iter().filter(|record| header(record, TYPE) == Some(REPLAYED.as_bytes())) {
                notes.push(record.offset);
                if let Ok(Payload::LetterReplayed(note)) = Payload::decode(REPLAYED, &record.value) {
                    let LetterReplayed { topic, partition, offset, actor, reason, .. } = note;
                    let played = Played { actor, reason, at: Timestamp::from_ms(record.time_ms) };
                    found.push(((topic, partition, offset), played));
                }
            }
        }
        let mut known = self.known.lock();
        known.notes.extend(notes);
        for (place, played) in found {
            known.by_record.entry(place).or_insert(played);
        }
        known.next = known.next.max(Some(next));
        Ok(())
    }

    fn of(&self, place: &Place) -> Option<Played> {
        self.known.lock().by_record.get(place).cloned()
    }

    fn notes_from(&self, first: u64) -> u64 {
        self.known.lock().notes.range(first..).count() as u64
    }
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r [u8]> {
    record.headers.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.as_ref())
}

/// What is to be done for a letter that is to be played again.
pub(super) enum Step {
    /// It was: nothing is done.
    Done(Played),
    /// These are to be appended together: the record, and what says so.
    Append(Vec<NewRecord>),
}

/// Looks at what is to be done. Blocks.
pub(super) fn prepare(
    log: &SharedLog,
    replays: &Replays,
    letter: u64,
    (actor, reason): (&str, &str),
    now_ms: i64,
) -> Result<Result<Step, Problem>, LogError> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "no_such_letter", "no dead letter lies there");
    let gone = || {
        let detail = "its record is no longer kept where it was read; the letter shows its value";
        Problem::new(StatusCode::GONE, "record_gone", detail)
    };
    let derived = || {
        let detail = "only what callers sent can be played again; this was made by a fold from something else, and \
                      whoever reads it would pass it over as known";
        Problem::new(StatusCode::CONFLICT, "letter_derived", detail)
    };
    let Some(record) = at(log, Topic::DeadLetters.name(), 0, letter)? else { return Ok(Err(none())) };
    let Ok(Payload::DeadLetter(found)) = Payload::decode("stockade.dead.letter", &record.value) else {
        return Ok(Err(none()));
    };
    replays.look(log)?;
    let place = (found.topic, found.partition, found.offset);
    if let Some(played) = replays.of(&place) {
        return Ok(Ok(Step::Done(played)));
    }
    let (topic, partition, offset) = place;
    let Some(topic) = OF_CALLERS.into_iter().find(|of| of.name() == topic) else { return Ok(Err(derived())) };
    let Some(record) = at(log, topic.name(), partition, offset)? else { return Ok(Err(gone())) };
    let is_tick = header(&record, TYPE) == Some(TICK.as_bytes());
    let Some(headers) = headers(&record).filter(|_| !is_tick && header(&record, POSITION).is_none()) else {
        return Ok(Err(derived()));
    };
    let is_command = topic == Topic::SupplierEvents && header(&record, TYPE) == Some(COMMAND.as_bytes());
    if is_command && record.time_ms < now_ms.saturating_sub(COMMAND_MS) {
        let detail = "it is a supplier's write of more than 24 hours ago, which inventory would not know again if it had been \
                      applied; let the supplier send what holds now";
        return Ok(Err(Problem::new(StatusCode::CONFLICT, "letter_stale", detail)));
    }
    let copy = NewRecord {
        topic: topic.name(),
        route: Route::Partition(partition),
        key: record.key.clone(),
        headers,
        value: record.value.clone(),
    };
    let note = Payload::LetterReplayed(LetterReplayed {
        letter,
        topic: topic.name().to_owned(),
        partition,
        offset,
        actor: actor.to_owned(),
        reason: reason.to_owned(),
    });
    let note = NewRecord {
        topic: Topic::DeadLetters.name(),
        route: Route::Partition(0),
        key: Bytes::new(),
        headers: Envelope::new(note.kind(), format!("replay-{letter}"), "stockade/ops").headers(),
        value: note.encode().into(),
    };
    Ok(Ok(Step::Append(vec![copy, note])))
}

/// The record at an offset, if it is kept.
fn at(log: &SharedLog, topic: &str, partition: u32, offset: u64) -> Result<Option<Record>, LogError> {
    let bounds = log.bounds(topic, partition)?;
    if !(bounds.first..bounds.end).contains(&offset) {
        return Ok(None);
    }
    let found = log.read(topic, partition, offset, ONE)?.into_iter().next();
    Ok(found.filter(|record| record.offset == offset))
}

/// The headers that a caller's record has; `None` where one is no text, which no caller's is.
fn headers(record: &Record) -> Option<Vec<(&'static str, String)>> {
    let all = [TYPE, ID, SOURCE, TRACEPARENT, CAUSE_ID, CAUSE_TIME];
    let text =
        |(name, value): (&'static str, &[u8])| Some((name, std::str::from_utf8(value).ok()?.to_owned()));
    all.into_iter().filter_map(|name| Some((name, header(record, name)?))).map(text).collect()
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
    fn of(letter: u64, time_ms: i64, of: DeadLetter, replays: &Replays) -> Self {
        let DeadLetter { topic, partition, offset, code, detail, attempts, kind, value } = of;
        let at = Timestamp::from_ms(time_ms);
        let value_bytes = value.len();
        let value = beginning(value);
        let replayable = OF_CALLERS.iter().any(|of| of.name() == topic) && kind != TICK;
        let replayed = replays.of(&(topic.clone(), partition, offset));
        Self {
            letter,
            at,
            topic,
            partition,
            offset,
            code,
            detail,
            attempts,
            kind,
            value,
            value_bytes,
            replayable,
            replayed,
        }
    }
}

/// Reads a page of them.
pub(super) fn page(
    log: &SharedLog,
    replays: &Replays,
    query: &LettersQuery,
) -> Result<DeadLetters, LogError> {
    replays.look(log)?;
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
                letters.push(Letter::of(record.offset, record.time_ms, letter, replays));
            }
        }
    }
    letters.reverse();
    let next = (from > bounds.first).then_some(from);
    let kept = bounds.end.saturating_sub(bounds.first).saturating_sub(replays.notes_from(bounds.first));
    Ok(DeadLetters { letters, kept, next })
}

#[cfg(test)]
mod tests {
    use stockade_log::{Ack, Memory, MemoryDisk};

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
        let replays = Replays::default();
        let ask = |limit, before| page(&log, &replays, &LettersQuery { limit: Some(limit), before }).unwrap();
        let first = ask(2, None);
        let offsets =
            |page: &DeadLetters| page.letters.iter().map(|letter| letter.offset).collect::<Vec<_>>();
        assert_eq!((offsets(&first), first.next, first.kept), (vec![4, 3], Some(3), 5));
        assert_eq!((first.letters[0].value.len(), first.letters[0].value_bytes), (4_096, 8_001));
        let last = ask(50, first.next);
        assert_eq!((offsets(&last), last.next), (vec![2, 1, 0], None));
    }

    struct Shelf(SharedLog);

    impl Shelf {
        fn new() -> Self {
            let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), Arc::new(|| 7)).unwrap());
            for topic in Topic::ALL {
                log.ensure_topic(&topic_spec(topic, 2)).unwrap();
            }
            Self(log)
        }
        /// Appends a record to partition 1 where there is one, and a letter of it; returns the offset of the letter.
        fn letter_of(&self, topic: Topic, headers: Vec<(&'static str, String)>) -> u64 {
            let partition = topic.partitions(2) - 1;
            let record = NewRecord {
                topic: topic.name(),
                route: Route::Partition(partition),
                key: Bytes::from_static(b"acme"),
                headers,
                value: Bytes::from_static(b"{"),
            };
            let placed = self.0.append(vec![record], Ack::Ordered).wait().unwrap()[0];
            let topic = topic.name().to_owned();
            let letter = DeadLetter { topic, partition, ..letter(placed.offset, "{".to_owned()) };
            self.append_letter(&letter)
        }
        fn append_letter(&self, letter: &DeadLetter) -> u64 {
            let value = stockade_model::encode::json(letter).into();
            let (route, key, headers) = (Route::Partition(0), Bytes::new(), Vec::new());
            let record = NewRecord { topic: Topic::DeadLetters.name(), route, key, headers, value };
            self.0.append(vec![record], Ack::Ordered).wait().unwrap()[0].offset
        }
        fn play(&self, replays: &Replays, letter: u64, actor: &str) -> Result<Option<Played>, &'static str> {
            self.play_at(7, replays, letter, actor)
        }
        fn play_at(
            &self,
            now_ms: i64,
            replays: &Replays,
            letter: u64,
            actor: &str,
        ) -> Result<Option<Played>, &'static str> {
            match prepare(&self.0, replays, letter, (actor, "mended"), now_ms).unwrap() {
                Err(problem) => Err(problem.code),
                Ok(Step::Done(played)) => Ok(Some(played)),
                Ok(Step::Append(records)) => {
                    self.0.append(records, Ack::Durable).wait().unwrap();
                    Ok(None)
                }
            }
        }
    }

    #[test]
    fn a_record_of_a_caller_is_played_again_once_however_many_letters_it_has_and_the_list_says_by_whom() {
        let (shelf, replays) = (Shelf::new(), Replays::default());
        let sent = Envelope::new("stockade.order.event", "e-1", "shop").headers();
        let first = shelf.letter_of(Topic::SupplierEvents, sent.clone());
        let topic = Topic::SupplierEvents.name();
        let second = shelf.append_letter(&DeadLetter {
            topic: topic.to_owned(),
            partition: 1,
            ..letter(0, "{".to_owned())
        });
        assert_eq!(shelf.play(&replays, first, "ann"), Ok(None));
        let both = shelf.0.read(topic, 1, 0, ReadLimit::default()).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!((&both[0].key, &both[0].value), (&both[1].key, &both[1].value));
        let own: Vec<_> = both.iter().map(|record| headers(record).unwrap()).collect();
        assert_eq!((&own[0], &own[1]), (&sent, &sent));
        // By whom it was the first time, also as another process sees it.
        for (replays, letter) in [(&replays, first), (&Replays::default(), second)] {
            assert_eq!(shelf.play(replays, letter, "bob").unwrap().unwrap().actor, "ann");
        }
        assert_eq!(shelf.0.bounds(topic, 1).unwrap().end, 2, "not once more");
        let page = page(&shelf.0, &replays, &LettersQuery { limit: None, before: None }).unwrap();
        assert_eq!((page.letters.len(), page.kept), (2, 2), "what says so is no letter");
        assert!(page.letters.iter().all(|of| of.replayable && of.replayed.as_ref().unwrap().actor == "ann"));
    }

    #[test]
    fn a_suppliers_write_is_played_again_only_while_inventory_would_know_it() {
        let (shelf, replays) = (Shelf::new(), Replays::default());
        let sent =
            |kind: &str| shelf.letter_of(Topic::SupplierEvents, Envelope::new(kind, "e", "shop").headers());
        let (command, order) = (sent(COMMAND), sent("stockade.order.event"));
        let day_later = 7 + COMMAND_MS;
        assert_eq!(shelf.play_at(day_later + 1, &replays, command, "ann"), Err("letter_stale"));
        assert_eq!(shelf.play_at(day_later, &replays, command, "ann"), Ok(None));
        assert_eq!(shelf.play_at(day_later + 1, &replays, command, "ann").unwrap().unwrap().actor, "ann");
        assert_eq!(
            shelf.play_at(day_later + 1, &replays, order, "ann"),
            Ok(None),
            "which are known for longer"
        );
    }

    #[test]
    fn what_a_fold_made_or_what_is_gone_is_not_played_again() {
        let (shelf, replays) = (Shelf::new(), Replays::default());
        let mut made = Envelope::new("stockade.order.outcome", "o-1", "intake").headers();
        made.push((POSITION, "intake/0/1/3/1".to_owned()));
        let made = shelf.letter_of(Topic::SupplierEvents, made);
        let tick = shelf.letter_of(Topic::EventsInbox, Envelope::new(TICK, "t-1", "stockade").headers());
        let score = shelf.letter_of(Topic::SupplierScores, Envelope::new("x", "s-1", "scoring").headers());
        for derived in [made, tick, score] {
            assert_eq!(shelf.play(&replays, derived, "ann"), Err("letter_derived"));
        }
        let gone = shelf.append_letter(&letter(99, "{".to_owned()));
        assert_eq!(shelf.play(&replays, gone, "ann"), Err("record_gone"));
        assert_eq!(shelf.play(&replays, 1_000, "ann"), Err("no_such_letter"));
    }
}
