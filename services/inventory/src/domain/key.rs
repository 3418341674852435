//! Keys of rows that belong to a supplier.

use stockade_fold::RowKey;
use stockade_model::SupplierId;

/// Something of a supplier's, such as one of its listings. Stored as `supplier/id`; neither may hold a slash.
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
