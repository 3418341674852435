//! Topics of one cluster copied to another, so that buyers far from the origin are answered beside them.
//!
//! A cluster numbers its records itself, so a copy lies at another offset than its original. But positions, changelog rows and
//! the tokens that writes hand out name the origin's offsets. So each copy bears the offset and the append time of its original
//! in two headers, and whoever reads the copy is shown these. Where the copying stands is read off the last copy in each
//! partition, so it keeps no state of its own.
//!
//! * [`copy`] is the copying process.
//! * [`Mirrored`] is the log as a reader of the copy sees it: in the origin's offsets and times, and without any way to write.
//!
//! # Why nothing is lost or counted twice
//! Copies of a partition are sent in order by an idempotent producer, and a mirror goes on behind the last copy that is there.
//! What its former process had under way when it was killed may still arrive then, in between: repeats. So in a partition of the
//! copy each record stands for the first time behind the first copy of the one before it, and whoever reads on passes over repeats.
//! A place to begin at is found by halving, and then a stretch before it is read as well that is longer than what can be
//! under way, because among repeats halving may find a later place than the first. Offsets of an origin have no holes, so a reader
//! notices one in the copy: it reads the partition from its beginning then, and stops if the hole is really there.
//!
//! The changelog is copied by transactions that each end where one of the origin's commits ends, which is behind a partition
//! row. So what is restored from the copy is one commit of the origin, as it is there. Only the first copy does not wait for these
//! ends, of which compaction leaves hardly any: it lasts until the first heartbeat, and before that nobody restores. Its transactional id also makes
//! sure that there is one mirror: one that is started beside another ends that one.
//!
//! # How old the copy is
//! Without new records nobody could tell a quiet origin from one that is cut off. So once a second the mirror notes the time,
//! asks the origin where its partitions end, and when everything before these ends is copied it writes both down in a heartbeat.
//! Whoever has read up to the ends of a heartbeat knows what the origin held at its time. A mirror's clock may run ahead, and then
//! a mirror that died long ago would look alive. So a heartbeat's time is at most that of its arrival, by the broker's clock and by the
//! reader's, less how long the mirror took: only if all three run ahead is a copy shown as newer than it is.

mod commits;
mod copying;
mod lane;
mod reading;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use stockade_log::{LogError, Record};

pub use copying::{Copied, MirrorSpec, copy};
pub use reading::Mirrored;

/// Offset of the original.
const OFFSET: &str = "stockade-mirror-offset";
/// Append time of the original, in milliseconds since the epoch.
const TIME: &str = "stockade-mirror-time";
/// Where heartbeats are written: one partition, in the cluster of the copy only.
pub(crate) const HEARTBEATS: &str = "mirror.heartbeats";
/// How long they are kept.
const HEARTBEATS_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Everything that the origin held at a moment was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Heartbeat {
    /// The moment, in milliseconds by the clock of the copying process, taken before the ends were asked for.
    at_ms: i64,
    /// Where the origin's partitions ended then, by topic.
    ends: BTreeMap<String, Vec<u64>>,
    /// How long after the moment the heartbeat was sent, in milliseconds.
    #[serde(default)]
    took_ms: i64,
}

/// What a copy says of its original: offset and time. `None` when it bears no marks.
fn original<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Option<(u64, i64)> {
    let (mut offset, mut time_ms) = (None, None);
    for (name, value) in headers {
        let text = std::str::from_utf8(value).ok();
        match name {
            OFFSET => offset = text.and_then(|text| text.parse().ok()),
            TIME => time_ms = text.and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
    offset.zip(time_ms)
}

fn original_of(record: &Record) -> Option<(u64, i64)> {
    original(record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
}

/// A copy as its original was: its offset, its time, and its headers without the marks. `None` when it bears no marks.
fn as_original(copy: Record) -> Option<Record> {
    let (offset, time_ms) = original_of(&copy)?;
    let own = |(name, _): &&(std::borrow::Cow<'static, str>, Bytes)| !matches!(name.as_ref(), OFFSET | TIME);
    let headers = copy.headers.iter().filter(own).cloned().collect();
    Some(Record { offset, time_ms, headers, ..copy })
}

/// What is said of a record that was not copied by [`copy`].
fn unmarked(topic: &str, partition: u32, offset: u64) -> LogError {
    LogError::Config(format!(
        "{topic}/{partition} holds a record at {offset} that does not say where it comes from: it was not copied by `stockade mirror`. Give the copy a prefix of its own (kafka.prefix) to which nothing else writes"
    ))
}

/// What stands still for this long is given up, and begun again with clients made anew.
const STALLED: Duration = Duration::from_secs(30);
/// Records that a mirror sends before it waits for them.
const ROUND: usize = 2_000;
/// How much before the place that halving finds is read: with what a killed process had under way and what its successor sent
/// at the same time, several times over.
const BEHIND: u64 = 8 * ROUND as u64;

/// A place of `range` where an original of `wanted` or later follows an earlier one. `original_at` says which original lies
/// at a place.
fn first_of<E>(
    range: std::ops::Range<u64>,
    wanted: u64,
    mut original_at: impl FnMut(u64) -> Result<u64, E>,
) -> Result<u64, E> {
    let (mut from, mut to) = (range.start, range.end);
    // Below `from` stands something earlier or nothing; at `to` something wanted or the end.
    while from < to {
        let middle = from + (to - from) / 2;
        if original_at(middle)? < wanted {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_reads_as_its_original_and_what_bears_no_marks_is_none() {
        let copy = |headers: &[(&'static str, &'static str)]| Record {
            offset: 3,
            time_ms: 99,
            key: Bytes::from_static(b"k"),
            headers: headers.iter().map(|(n, v)| ((*n).into(), Bytes::from_static(v.as_bytes()))).collect(),
            value: Bytes::from_static(b"v"),
        };
        let read = as_original(copy(&[("ce_id", "a"), (OFFSET, "17"), (TIME, "5")])).unwrap();
        assert_eq!((read.offset, read.time_ms, read.key.as_ref()), (17, 5, &b"k"[..]));
        assert_eq!(read.headers.len(), 1);
        assert_eq!(read.headers[0].0, "ce_id");
        for bad in [&[("ce_id", "a")][..], &[(OFFSET, "17")], &[(OFFSET, "x"), (TIME, "5")]] {
            assert!(as_original(copy(bad)).is_none());
        }
    }

    #[test]
    fn a_heartbeat_is_read_back_as_it_was_written() {
        let ends = [("t".to_owned(), vec![1, 2])].into_iter().collect();
        let beat = Heartbeat { at_ms: 7, ends, took_ms: 3 };
        let text = serde_json::to_string(&beat).unwrap();
        assert_eq!(text, r#"{"at_ms":7,"ends":{"t":[1,2]},"took_ms":3}"#);
        assert_eq!(serde_json::from_str::<Heartbeat>(&text).unwrap(), beat);
        let former = serde_json::from_str::<Heartbeat>(r#"{"at_ms":7,"ends":{"t":[1,2]}}"#).unwrap();
        assert_eq!(former, Heartbeat { took_ms: 0, ..beat });
    }

    proptest::proptest! {
        /// A mirror that is killed and goes on, while what its former process had under way still arrives.
        #[test]
        fn whatever_arrives_late_reading_from_a_little_before_the_place_found_loses_nothing(
            first in 0u64..5,
            lives in proptest::collection::vec((1u64..9, 0usize..5, 0usize..5, 0u32..), 1..9),
            wanted in 0u64..50,
        ) {
            let mut copies: Vec<u64> = Vec::new();
            let mut late: Vec<u64> = Vec::new();
            for (forward, under_way, arrive, mut pattern) in lives {
                let next = copies.last().map_or(first, |last| last + 1);
                let sent: Vec<u64> = (next..next + forward).collect();
                late.truncate(arrive);
                let (acknowledged, rest) = sent.split_at(sent.len() - under_way.min(sent.len() - 1));
                let (mut mine, mut theirs) = (acknowledged.iter().copied(), late.drain(..));
                loop {
                    let turn = if pattern & 1 == 1 { theirs.next().or_else(|| mine.next()) }
                        else { mine.next().or_else(|| theirs.next()) };
                    pattern = pattern.rotate_right(1);
                    let Some(copy) = turn else { break };
                    copies.push(copy);
                }
                drop(theirs);
                late = rest.to_vec();
            }
            let end = copies.iter().max().unwrap() + 1;
            let at = |place: u64| Ok::<u64, ()>(copies[place as usize]);
            let place = first_of(0..copies.len() as u64, wanted, at).unwrap() as usize;
            let mut expected = wanted.max(first);
            for copy in copies[place.saturating_sub(32)..].iter().filter(|copy| **copy >= wanted) {
                proptest::prop_assert!(*copy <= expected, "{copy} stands where {expected} should in {copies:?}");
                expected = expected.max(copy + 1);
            }
            proptest::prop_assert_eq!(expected, end.max(wanted.max(first)));
        }
    }
}
