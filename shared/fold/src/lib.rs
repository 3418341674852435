//! A service is a fold over one ordered partition: `(state, record) -> (state, outputs)`.
//!
//! * [`Fold`] is what a service writes: pure, no clock, no randomness, no I/O.
//! * [`Host`] runs one fold over one partition: decodes, skips repeats by position, keeps the clock, numbers outputs,
//!   remembers what changed.
//! * [`Worker`] owns all hosts of one fold in this process: assignment, restore, outputs, flush, ticks, takeover.
//! * [`run`] drives a worker on a runtime; a single-threaded replay drives the same worker by hand.
//!
//! # The flush
//! First the outputs of every record up to a position are acknowledged, then changed rows, the partition row and the
//! input offset commit together. Whatever happens in between, a restart begins at the last commit, applies the same
//! records, and sends outputs with the same positions, which receivers have seen and skip.

mod board;
mod gate;
mod host;
mod packed;
mod row;
mod runner;
mod stall;
mod table;
mod tail;
mod worker;

pub use board::{Board, Progress};
pub use gate::Gate;
pub use host::{Dest, Host, Input, Out};
pub use packed::{Pack, Packed, PackedSet, Packer, Unpacker};
pub use row::row_bytes;
pub use runner::{Effects, RunError, run};
pub use stall::Stall;
pub use table::{AnyTable, RowKey, Single, Table};
pub use tail::{Tailed, tail};
pub use worker::{Spec, Step, Worker};

use stockade_model::Timestamp;

/// Pure state of one partition of one service.
pub trait Fold: Send + 'static {
    /// Something this process should do or know because of a record; made again on every replay, never sent.
    type Effect: Send + 'static;

    /// Applies one record. Everything it may know is in `input` and in its own tables.
    fn apply(&mut self, input: &Input<'_>, out: &mut Out<Self::Effect>);

    /// When it wants a tick, at the earliest.
    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    /// Its state, table by table. Names must be distinct and never change.
    fn tables(&mut self) -> Vec<&mut dyn AnyTable>;

    /// Called once after a restore, to rebuild what is derived from the tables and to tell the process about it.
    fn restored(&mut self, _effects: &mut Vec<Self::Effect>) {}

    /// Called after [`Fold::restored`], again and again with what it gave, until it gives nothing: for a fold that has so much
    /// to tell its process that all of it at once would take more memory than the process has use for ever after. No record is
    /// applied meanwhile.
    fn tells_on(&mut self, _from: Vec<u8>, _effects: &mut Vec<Self::Effect>) -> Option<Vec<u8>> {
        None
    }
}
