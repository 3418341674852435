//! The partition row: everything a host must know besides the tables.

use std::collections::BTreeMap;

/// Last position seen of each `(fold, partition)` that writes into this partition: `(generation, offset, index)`.
pub(crate) type Seen = BTreeMap<String, BTreeMap<u32, (u32, u64, u32)>>;

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
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(bytes).map_err(|e| format!("a partition row does not decode: {e}"))
    }
}
