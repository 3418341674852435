//! Keys of rows that belong to a supplier.

use stockade_fold::RowKey;
use stockade_model::SupplierId;

/// Something of a supplier's, such as one of its listings. Stored as `supplier/id`: no supplier's id holds a
/// slash, so the first one ends it, whatever the seller's own name behind it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Of<T> {
    /// Whose.
    pub supplier: SupplierId,
    /// Which.
    pub id: T,
}

impl<T: Clone> Of<T> {
    /// The key of `id` of `supplier`.
    pub fn new(supplier: &SupplierId, id: &T) -> Self {
        Self { supplier: supplier.clone(), id: id.clone() }
    }
}

impl<T> RowKey for Of<T>
where
    T: AsRef<str> + TryFrom<String> + Clone + Eq + std::hash::Hash + Send + 'static,
{
    fn to_bytes(&self) -> Vec<u8> {
        [self.supplier.as_str(), self.id.as_ref()].join("/").into_bytes()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (supplier, id) = std::str::from_utf8(bytes).ok()?.split_once('/')?;
        Some(Self { supplier: SupplierId::of_record(supplier).ok()?, id: id.to_owned().try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use stockade_model::ListingId;

    use super::*;

    #[test]
    fn a_key_comes_back_whatever_the_sellers_name_holds() {
        let supplier = SupplierId::new("acme").unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for name in ["l-1", "a/b", "/", "//a", "acme/l-1", "Größe 1/2", "货"] {
            let key = Of::new(&supplier, &ListingId::new(name).unwrap());
            assert_eq!(Of::from_bytes(&key.to_bytes()), Some(key.clone()), "{name}");
            assert!(keys.insert(key.to_bytes()), "{name} has a key of its own");
        }
    }
}
