//! Which listings lie at a location, so that what becomes of one location costs what lies there.

use stockade_fold::RowKey;
use stockade_model::{ListingId, LocationId, SupplierId};

use crate::domain::key::Of;

/// A listing at its location.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Located {
    pub(super) supplier: SupplierId,
    pub(super) location: LocationId,
    pub(super) listing: ListingId,
}

impl Located {
    pub(super) fn new(at: &Of<ListingId>, location: &LocationId) -> Self {
        Self { supplier: at.supplier.clone(), location: location.clone(), listing: at.id.clone() }
    }
    /// What the bytes of all listings at a location begin with. No name holds a zero.
    pub(super) fn prefix(supplier: &SupplierId, location: &LocationId) -> Vec<u8> {
        [supplier.as_str(), "\0", location.as_str(), "\0"].concat().into_bytes()
    }
}

impl RowKey for Located {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Self::prefix(&self.supplier, &self.location);
        bytes.extend(self.listing.as_str().as_bytes());
        bytes
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut names = std::str::from_utf8(bytes).ok()?.split('\0');
        Some(Self {
            supplier: SupplierId::of_record(names.next()?).ok()?,
            location: LocationId::of_record(names.next()?).ok()?,
            listing: ListingId::of_record(names.next()?).ok()?,
        })
    }
}
