//! What restrictions leave of an offer: the one place that says how much of it a buyer may see.
//!
//! Restrictions on the supplier, on the good or on the listing concern the whole offer. A restriction on a region concerns
//! the regions served that it overlaps; what is left of the offer are the others. Whoever asks for a region is judged by
//! that region; whoever names none is shown what is left. A region counts as restricted when only a part of it is (`DE`
//! under a restriction on `DE-BY`), for a buyer who asks for the whole may live in that part.

use crate::{Level, Region, Scope};

/// An offer, as far as restrictions can concern it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The good.
    pub sku: &'a str,
    /// The listing.
    pub listing: &'a str,
    /// The regions served.
    pub regions: &'a [Region],
}

/// What is left of an offer for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The hardest level on it; never one that withholds.
    pub level: Option<Level>,
    /// The regions left, when they are not all that the offer serves.
    pub regions: Option<Box<[Region]>>,
}

impl Subject<'_> {
    /// Whether a buyer in `asked` is served; who names no region always is.
    pub fn serves(&self, asked: Option<Region>) -> bool {
        asked.is_none_or(|asked| self.regions.iter().any(|region| region.serves(asked)))
    }

    /// What `in_force`, the restrictions on its supplier, leave for a buyer in `asked`; `None` when nothing is left, or
    /// the region is not served at all.
    pub fn left<'r>(
        &self,
        asked: Option<Region>,
        in_force: &(impl Iterator<Item = (&'r Scope, Level)> + Clone),
    ) -> Option<Left> {
        if !self.serves(asked) {
            return None;
        }
        let whole = self.level_on_all(in_force.clone());
        if whole.is_some_and(Level::withholds) {
            return None;
        }
        let at = |place: Region| level_at(place, in_force.clone());
        let open = |place: Region| !at(place).is_some_and(Level::withholds);
        let mut left: Vec<Region> = self.regions.iter().copied().filter(|region| open(*region)).collect();
        let level = match asked {
            Some(asked) if !open(asked) => return None,
            Some(asked) => {
                if !left.iter().any(|region| region.serves(asked)) {
                    left.push(asked);
                }
                at(asked)
            }
            None if left.is_empty() && !self.regions.is_empty() => return None,
            // As restricted as the least restricted region that is left.
            None => left.iter().map(|region| at(*region)).min().flatten(),
        };
        let regions = (left != self.regions).then(|| left.into_boxed_slice());
        Some(Left { level: level.max(whole), regions })
    }

    /// The level that no part of the offer escapes.
    pub fn level<'r>(&self, in_force: &(impl Iterator<Item = (&'r Scope, Level)> + Clone)) -> Option<Level> {
        let everywhere =
            self.regions.iter().map(|region| level_at(*region, in_force.clone())).min().flatten();
        everywhere.max(self.level_on_all(in_force.clone()))
    }

    /// The hardest level that is not about a region, and so the same whoever asks.
    pub fn level_on_all<'r>(&self, in_force: impl Iterator<Item = (&'r Scope, Level)>) -> Option<Level> {
        let concerns = |scope: &Scope| match scope {
            Scope::Supplier => true,
            Scope::Sku { sku } => sku.as_str() == self.sku,
            Scope::Listing { listing } => listing.as_str() == self.listing,
            Scope::Region { .. } => false,
        };
        in_force.filter(|(scope, _)| concerns(scope)).map(|(_, level)| level).max()
    }
}

/// The hardest level on any region that overlaps `place`.
fn level_at<'r>(place: Region, in_force: impl Iterator<Item = (&'r Scope, Level)>) -> Option<Level> {
    let overlaps = |scope: &Scope| match scope {
        Scope::Region { region } => region.serves(place) || place.serves(*region),
        _ => false,
    };
    in_force.filter(|(scope, _)| overlaps(scope)).map(|(_, level)| level).max()
}
