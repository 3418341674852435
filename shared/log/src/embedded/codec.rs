//! Bytes of a block: `u32` count, `i64` last time, then per record `i64` time, key, headers and value, each length
//! first, little endian. Offsets follow from the block's key.

use std::borrow::Cow;

use bytes::{Buf as _, BufMut as _, Bytes};

use crate::{Headers, Record};

pub(super) fn encode(records: &[Record]) -> Vec<u8> {
    let of = |record: &Record| record.size() + 8 * record.headers.len();
    let mut out = Vec::with_capacity(16 + records.iter().map(of).sum::<usize>());
    out.put_u32_le(records.len() as u32);
    out.put_i64_le(records.last().map_or(0, |record| record.time_ms));
    for record in records {
        out.put_i64_le(record.time_ms);
        put(&mut out, &record.key);
        out.put_u16_le(record.headers.len() as u16);
        for (name, value) in record.headers.iter() {
            put(&mut out, name.as_bytes());
            put(&mut out, value);
        }
        put(&mut out, &record.value);
    }
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

/// Number of records and record time of the last one, without decoding the rest.
pub(super) fn head(block: &[u8]) -> Option<(u32, i64)> {
    let mut block = block;
    Some((block.try_get_u32_le().ok()?, block.try_get_i64_le().ok()?))
}

/// The records of a block whose first offset is `base`, or `None` when it is damaged.
pub(super) fn decode(block: Bytes, base: u64) -> Option<Vec<Record>> {
    let mut block = block;
    let count = block.try_get_u32_le().ok()?;
    block.try_get_i64_le().ok()?;
    let mut records = Vec::with_capacity(count as usize);
    for index in 0..count {
        let time_ms = block.try_get_i64_le().ok()?;
        let key = get(&mut block)?;
        let headers = (0..block.try_get_u16_le().ok()?)
            .map(|_| {
                let name = get(&mut block)?;
                Some((Cow::Owned(std::str::from_utf8(&name).ok()?.to_owned()), get(&mut block)?))
            })
            .collect::<Option<Headers>>()?;
        let value = get(&mut block)?;
        records.push(Record { offset: base + u64::from(index), time_ms, key, headers, value });
    }
    block.is_empty().then_some(records)
}

fn get(block: &mut Bytes) -> Option<Bytes> {
    let len = block.try_get_u32_le().ok()? as usize;
    (len <= block.len()).then(|| block.split_to(len))
}
