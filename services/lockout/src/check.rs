//! Decisions that cannot be read.

use std::convert::Infallible;

use stockade_fold::{AnyTable, Fold, Input, Out};

/// A fold over `lockout.decisions` without any state. The overlay, the quarantine writer and the views follow the
/// decisions, each of them in every replica; this is what gives the partition an owner, so that a record nobody can read
/// is dead-lettered by exactly one process, with a position like every other output.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecisionsCheck;

impl Fold for DecisionsCheck {
    type Effect = Infallible;

    /// Nothing: the host has dead-lettered what cannot be read before it comes to this.
    fn apply(&mut self, _: &Input<'_>, _: &mut Out<Infallible>) {}

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        Vec::new()
    }
}
