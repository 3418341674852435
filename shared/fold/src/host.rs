//! One fold over one partition.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use stockade_log::{NewRecord, Record, Route, partition_of};
use stockade_model::{Cause, DeadLetter, Envelope, Payload, Position, Timestamp, Topic, envelope::header};

use crate::{Fold, board::Progress, row::PartitionRow};

/// One record as a fold sees it.
pub struct Input<'a> {
    /// What it says.
    pub payload: &'a Payload,
    /// Its headers.
    pub envelope: &'a Envelope,
    /// The partition it lies in.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Its position as the cause of outputs, with index 0.
    pub position: Position,
    /// Record time, never going back.
    pub time: Timestamp,
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dest {
    /// The partition of this key.
    Key(String),
    /// This partition.
    Partition(u32),
    /// Every partition of the topic.
    All,
}

/// What a fold gives back for a record.
pub struct Out<E> {
    outputs: Vec<(Topic, Dest, Payload, Option<Cause>)>,
    effects: Vec<E>,
}

impl<E> Out<E> {
    fn new() -> Self {
        Self { outputs: Vec::new(), effects: Vec::new() }
    }
    /// Sends `payload` to `topic`. Its cause is that of the input, or the input itself when it has none.
    pub fn emit(&mut self, topic: Topic, dest: Dest, payload: Payload) {
        self.outputs.push((topic, dest, payload, None));
    }
    /// The same with a cause of its own.
    pub fn emit_caused(&mut self, topic: Topic, dest: Dest, payload: Payload, cause: Option<Cause>) {
        self.outputs.push((topic, dest, payload, cause));
    }
    /// Index that the next output's position will have: outputs are numbered from 1.
    pub fn next_index(&self) -> u32 {
        self.outputs.len() as u32 + 1
    }
    /// Tells this process something.
    pub fn effect(&mut self, effect: E) {
        self.effects.push(effect);
    }
}

/// What is kept of a record that cannot be processed.
pub(crate) fn dead_letter(
    topic: Topic,
    partition: u32,
    record: &Record,
    envelope: &Envelope,
    code: &str,
    detail: String,
) -> DeadLetter {
    DeadLetter {
        topic: topic.name().to_owned(),
        partition,
        offset: record.offset,
        code: code.to_owned(),
        detail,
        attempts: 1,
        kind: envelope.kind.clone(),
        value: String::from_utf8_lossy(&record.value).into_owned(),
    }
}

/// Why a record cannot be processed.
struct Poison {
    code: &'static str,
    detail: String,
}

/// A record as it is read, which is the same for every fold.
struct Opened {
    /// The value that was read: whoever puts another one into a copy of a record is not given what the first one said.
    value: Bytes,
    envelope: Envelope,
    payload: Result<Payload, Poison>,
}

impl Opened {
    fn of(record: &Record) -> Self {
        let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let poison = |code, detail| Err(Poison { code, detail });
        let value = record.value.clone();
        match Envelope::from_headers(headers) {
            Err(detail) => {
                Self { value, envelope: Envelope::default(), payload: poison("bad_header", detail) }
            }
            Ok(envelope) => {
                let payload = Payload::decode(&envelope.kind, &record.value);
                let payload = payload.or_else(|error| poison("undecodable", error.to_string()));
                Self { value, envelope, payload }
            }
        }
    }
}

impl Opened {
    /// Whether it was read from the very bytes that `record` has.
    fn is_of(&self, record: &Record) -> bool {
        self.value.as_ptr() == record.value.as_ptr() && self.value.len() == record.value.len()
    }
}

/// Whether several folds read a topic, so that what one has read of a record is worth keeping for the others.
fn is_read_by_several(topic: Topic) -> bool {
    topic == Topic::SupplierEvents
}

/// Where a changed row lives: table name and key.
type RowId = (u8, Vec<u8>);

/// Runs one fold over one partition.
pub struct Host<F: Fold> {
    /// The fold.
    pub fold: F,
    name: &'static str,
    input: Topic,
    partition: u32,
    generation: u32,
    partitions: u32,
    row: PartitionRow,
    /// Rows changed and not known to be flushed, with the offset of the last change.
    dirty: FxHashMap<RowId, u64>,
}

impl<F: Fold> Host<F> {
    /// A host for `partition` of `input`; `partitions` is the number of partitions of supplier-keyed topics.
    pub fn new(
        name: &'static str,
        input: Topic,
        partition: u32,
        generation: u32,
        partitions: u32,
        fold: F,
    ) -> Self {
        Self {
            fold,
            name,
            input,
            partition,
            generation,
            partitions,
            row: PartitionRow::default(),
            dirty: FxHashMap::default(),
        }
    }

    /// Next input offset.
    pub fn next(&self) -> u64 {
        self.row.next
    }
    /// Next input offset and highest record time seen.
    pub fn progress(&self) -> Progress {
        Progress { next: self.next(), clock: self.clock() }
    }
    /// Highest record time seen.
    pub fn clock(&self) -> Timestamp {
        Timestamp::from_ms(self.row.clock_ms)
    }

    pub(crate) fn load_partition_row(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.row = PartitionRow::decode(bytes)?;
        Ok(())
    }
    pub(crate) fn load_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (name, key) = key.split_first().ok_or("an empty row key")?;
        match self.fold.tables().into_iter().find(|table| table.name() == *name) {
            Some(table) => table.load(key, value),
            None => Err(format!("a row of table {name}, which {} does not have in this build", self.name)),
        }
    }
    pub(crate) fn partition_row(&self) -> Bytes {
        self.row.encode().into()
    }
    /// The rows changed at or after `from`, as they are now; those that are gone have no value.
    pub fn changed_rows(&mut self, from: u64) -> Vec<(Bytes, Option<Bytes>)> {
        let mut rows = Vec::new();
        let tables = self.fold.tables();
        for ((name, key), _) in self.dirty.iter().filter(|(_, offset)| **offset >= from) {
            let Some(table) = tables.iter().find(|table| table.name() == *name) else { continue };
            let mut full = Vec::with_capacity(key.len() + 1);
            full.push(*name);
            full.extend(key);
            rows.push((full.into(), table.encode(key).map(Bytes::from)));
        }
        rows
    }
    /// Forgets changes that someone flushed: those before `offset`.
    pub(crate) fn forget_changes_before(&mut self, offset: u64) {
        self.dirty.retain(|_, changed| *changed >= offset);
    }

    /// Applies one record; outputs are ready to be appended, in order. A record below the position is a redelivery
    /// and does nothing.
    pub fn apply(&mut self, record: &Record, effects: &mut Vec<F::Effect>) -> Vec<NewRecord> {
        let mut outputs = Vec::new();
        self.apply_one(record, effects, &mut outputs);
        self.note_changes(record.offset);
        outputs
    }

    /// Notes the rows that were changed up to the record at `offset`.
    pub(crate) fn note_changes(&mut self, offset: u64) {
        for table in self.fold.tables() {
            let name = table.name();
            self.dirty.extend(table.take_dirty().into_iter().map(|key| ((name, key), offset)));
        }
    }

    /// The same as [`Host::apply`], which rows have changed left to be noted.
    pub(crate) fn apply_one(
        &mut self,
        record: &Record,
        effects: &mut Vec<F::Effect>,
        outputs: &mut Vec<NewRecord>,
    ) {
        if record.offset < self.row.next {
            return;
        }
        self.row.next = record.offset + 1;
        self.row.clock_ms = self.row.clock_ms.max(record.time_ms);
        let mut out = Out::new();
        let position = Position {
            fold: self.name.to_owned(),
            partition: self.partition,
            generation: self.generation,
            offset: record.offset,
            index: 0,
        };
        let shared =
            if is_read_by_several(self.input) { record.headers.opened(|| Opened::of(record)) } else { None };
        let own;
        let opened = match shared.filter(|shared| shared.is_of(record)) {
            Some(shared) => shared,
            None => {
                own = Opened::of(record);
                &own
            }
        };
        let envelope = &opened.envelope;
        let position = match self.accept(record, opened) {
            Ok(None) => return,
            Ok(Some(payload)) => {
                let input = Input {
                    payload,
                    envelope,
                    partition: self.partition,
                    offset: record.offset,
                    position,
                    time: self.clock(),
                };
                self.fold.apply(&input, &mut out);
                input.position
            }
            Err(Poison { code, detail }) => {
                metrics::counter!("stockade_fold_dead_letters_total", "fold" => self.name, "reason" => code)
                    .increment(1);
                out.emit(
                    Topic::DeadLetters,
                    Dest::Key(String::new()),
                    self.dead_letter(record, envelope, code, detail),
                );
                position
            }
        };
        effects.append(&mut out.effects);
        self.seal(out.outputs, envelope, position, outputs);
    }

    /// What the fold is to be told of a record; `Ok(None)` when its position was seen before.
    fn accept<'a>(&mut self, record: &Record, opened: &'a Opened) -> Result<Option<&'a Payload>, Poison> {
        let poison = |poison: &Poison| Poison { code: poison.code, detail: poison.detail.clone() };
        if let Err(bad) = &opened.payload
            && bad.code == "bad_header"
        {
            return Err(poison(bad));
        }
        let partitions = self.input.partitions(self.partitions);
        if !record.key.is_empty() && partition_of(&record.key, partitions) != self.partition {
            let detail = format!("its key belongs to partition {}", partition_of(&record.key, partitions));
            return Err(Poison { code: "wrong_partition", detail });
        }
        if let Some(position) = &opened.envelope.position {
            if !self.row.seen.contains_key(&position.fold) {
                self.row.seen.insert(position.fold.clone(), Default::default());
            }
            let seen = self.row.seen.get_mut(&position.fold);
            // The first output of all has index 1, see `seal`, so (0, 0, 0) is before everything.
            let last = seen.map(|seen| seen.entry(position.partition).or_insert((0, 0, 0)));
            if let Some(last) = last {
                if position.order() <= *last {
                    return Ok(None);
                }
                *last = position.order();
            }
        }
        opened.payload.as_ref().map(Some).map_err(poison)
    }

    fn dead_letter(&self, record: &Record, envelope: &Envelope, code: &str, detail: String) -> Payload {
        Payload::DeadLetter(dead_letter(self.input, self.partition, record, envelope, code, detail))
    }

    /// Numbers the outputs, from 1, and gives them their headers.
    fn seal(
        &self,
        outputs: Vec<(Topic, Dest, Payload, Option<Cause>)>,
        input: &Envelope,
        mut position: Position,
        records: &mut Vec<NewRecord>,
    ) {
        if outputs.is_empty() {
            return;
        }
        let of_input = input.cause.clone().unwrap_or_else(|| Cause {
            id: if input.id.is_empty() { position.to_string() } else { input.id.clone() },
            time: self.clock(),
        });
        for (topic, dest, payload, cause) in outputs {
            position.index += 1;
            let headers = self.headers_of(&payload, &position, cause.as_ref().unwrap_or(&of_input), input);
            let value: Bytes = payload.encode().into();
            let topic_name = topic.name();
            let (route, key) = match dest {
                Dest::Key(key) => (Route::Key, key.into()),
                Dest::Partition(partition) => (Route::Partition(partition), Bytes::new()),
                Dest::All => {
                    records.extend((0..topic.partitions(self.partitions)).map(|partition| NewRecord {
                        topic: topic_name,
                        route: Route::Partition(partition),
                        key: Bytes::new(),
                        headers: headers.clone(),
                        value: value.clone(),
                    }));
                    continue;
                }
            };
            records.push(NewRecord { topic: topic_name, route, key, headers, value });
        }
    }

    /// The headers of an output, as [`Envelope::headers`] would write them, without an envelope in between: its id is its
    /// position.
    fn headers_of(
        &self,
        payload: &Payload,
        position: &Position,
        cause: &Cause,
        input: &Envelope,
    ) -> Vec<(&'static str, String)> {
        let place = position.to_string();
        let mut headers = Vec::with_capacity(7);
        headers.push((header::TYPE, payload.kind().to_owned()));
        headers.push((header::ID, place.clone()));
        headers.push((header::SOURCE, self.name.to_owned()));
        headers.push((header::POSITION, place));
        headers.push((header::CAUSE_ID, cause.id.clone()));
        headers.push((header::CAUSE_TIME, cause.time.ms().to_string()));
        if let Some(traceparent) = &input.traceparent {
            headers.push((header::TRACEPARENT, traceparent.clone()));
        }
        headers
    }
}
