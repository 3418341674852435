//! The partition row: everything a host must know besides the tables.

use std::collections::BTreeMap;

/// Last position seen of each `(fold, partition)` that writes into this partition: `(generation, offset, index)`.
pub(crate) type Seen = BTreeMap<String, BTreeMap<u32, (u32, u64, u32)>>;

/// A row as MessagePack with field names, so that fields may be added later.
///
/// # Panics
/// When it cannot be written, see [`stockade_model::encode`].
pub fn row_bytes<T: serde::Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    rmp_serde::encode::write_named(&mut bytes, row)
        .unwrap_or_else(|error| stockade_model::encode::stop::<T>("MessagePack", &error));
    bytes
}

/// Room for most rows, so that writing one need not grow on the way; rows live until they are flushed.
const USUAL_BYTES: usize = 512;

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct PartitionRow {
    /// Next input offset.
    pub(crate) next: u64,
    /// Highest record time seen, milliseconds.
    pub(crate) clock_ms: i64,
    pub(crate) seen: Seen,
}

impl PartitionRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        row_bytes(self)
    }
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(bytes).map_err(|e| format!("a partition row does not decode: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{AnyTable as _, Table};

    /// A row that can be read and not written.
    #[derive(serde::Deserialize)]
    struct Broken;
    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }

    #[test]
    #[should_panic(expected = "cannot be written as MessagePack, so nothing was: broken")]
    fn a_row_that_cannot_be_written_stops_the_fold_and_is_never_stored_empty() {
        let mut table = Table::new(1);
        table.insert("key".to_owned(), Broken);
        table.encode(b"key");
    }
}
