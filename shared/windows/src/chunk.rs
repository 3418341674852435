//! The stored form of a log: chunks of events, each at most 64 KiB.
//!
//! A chunk is sealed when the next one begins; it is written again only if a late event falls into it. Events that have
//! left the log stay in their chunk until the whole chunk goes: the head says how many of the first chunk to leave out.
//!
//! Layout, little endian: `u8` version (1), `u32` how many events had left the chunk when it was written, `i64` time of the
//! first event, then per event as LEB128: milliseconds since the one before (never negative), kind, flags, value (zigzag),
//! place; and `u64` party and `u64` subject, each only if its bit in the byte before them is set.

use crate::Entry;

/// Events in a sealed chunk; a chunk that late events fall into splits at twice as many. Worst case 45 bytes each.
pub const CHUNK_ENTRIES_MAX: usize = 512;

const VERSION: u8 = 1;

/// A stored chunk that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkError(pub String);

impl std::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a chunk of a history does not decode: {}", self.0)
    }
}

impl std::error::Error for ChunkError {}

/// One chunk of the log in memory.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Grows along the log.
    pub(crate) id: u64,
    /// Events in the log.
    pub(crate) len: usize,
    /// Events that have left it, ever.
    pub(crate) left: u32,
}

pub(crate) fn encode<'a>(left: u32, entries: impl Iterator<Item = &'a Entry>) -> Vec<u8> {
    let mut entries = entries.peekable();
    let mut before = entries.peek().map_or(0, |first| first.time_ms);
    let mut out = vec![VERSION];
    out.extend(left.to_le_bytes());
    out.extend(before.to_le_bytes());
    for entry in entries {
        put(&mut out, (entry.time_ms - before) as u64);
        before = entry.time_ms;
        out.push(entry.kind);
        put(&mut out, u64::from(entry.flags));
        put(&mut out, ((entry.value << 1) ^ (entry.value >> 63)) as u64);
        put(&mut out, u64::from(entry.place));
        out.push(u8::from(entry.party != 0) | u8::from(entry.subject != 0) << 1);
        for hash in [entry.party, entry.subject].into_iter().filter(|hash| *hash != 0) {
            out.extend(hash.to_le_bytes());
        }
    }
    out
}

/// The events of a chunk and how many had left it when it was written.
pub(crate) fn decode(bytes: &[u8]) -> Result<(u32, Vec<Entry>), ChunkError> {
    let mut rest = bytes;
    let short = || ChunkError("it is cut short".to_owned());
    let ([version], left, first) = (|| {
        Some((
            *take::<1>(&mut rest)?,
            u32::from_le_bytes(*take(&mut rest)?),
            i64::from_le_bytes(*take(&mut rest)?),
        ))
    })()
    .ok_or_else(short)?;
    if version != VERSION {
        return Err(ChunkError(format!("version {version} is unknown, this build reads {VERSION}")));
    }
    let (mut entries, mut time_ms) = (Vec::new(), first);
    while !rest.is_empty() {
        let entry = one(&mut rest, &mut time_ms).ok_or_else(short)?;
        entries.push(entry);
    }
    Ok((left, entries))
}

fn one(rest: &mut &[u8], time_ms: &mut i64) -> Option<Entry> {
    *time_ms = time_ms.checked_add_unsigned(get(rest)?)?;
    let [kind] = *take::<1>(rest)?;
    let flags = u16::try_from(get(rest)?).ok()?;
    let zigzag = get(rest)?;
    let value = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let place = u32::try_from(get(rest)?).ok()?;
    let [present] = *take::<1>(rest)?;
    let party = if present & 1 == 0 { 0 } else { u64::from_le_bytes(*take(rest)?) };
    let subject = if present & 2 == 0 { 0 } else { u64::from_le_bytes(*take(rest)?) };
    Some(Entry { time_ms: *time_ms, kind, flags, party, subject, place, value })
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = *take::<1>(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}
