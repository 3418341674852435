//! What lies in a changelog besides the rows of its fold.

use bytes::Bytes;
use stockade_log::Committed;

/// Key of the partition row. Row keys start with a table name, which is never 0.
pub(crate) const PARTITION_ROW: &[u8] = b"\0row";
/// Key of claims.
pub(crate) const CLAIM: &[u8] = b"\0claim";

/// Whether a key is a row of the fold.
pub(crate) fn is_row(key: &[u8]) -> bool {
    key.first() != Some(&0)
}

/// The partition row as it is kept: epoch and next input offset, then what the fold gave.
pub(crate) fn encode(epoch: u64, next_offset: u64, row: &[u8]) -> Vec<u8> {
    [&epoch.to_be_bytes()[..], &next_offset.to_be_bytes(), row].concat()
}

/// The same read back; `None` when it is none.
pub(crate) fn decode(kept: &Bytes) -> Option<Committed> {
    let number = |range: std::ops::Range<usize>| {
        kept.get(range).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
    };
    Some(Committed { epoch: number(0..8)?, next_offset: number(8..16)?, row: kept.slice(16..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_partition_row_is_read_back_as_it_was_written_and_a_short_one_is_none(
            epoch in 0u64.., next_offset in 0u64.., row in proptest::collection::vec(0u8.., 0..40), cut in 0usize..16,
        ) {
            let kept = Bytes::from(encode(epoch, next_offset, &row));
            proptest::prop_assert_eq!(decode(&kept.slice(..cut)), None);
            let read = Committed { epoch, next_offset, row: row.into() };
            proptest::prop_assert_eq!(decode(&kept), Some(read));
        }
    }
}
