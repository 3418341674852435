//! Seeded marketplaces with honest and malicious suppliers, and the scheduler that drives real folds by hand.
//!
//! [`World`] says what there is and what happens when, as plain data: the demo plays it over HTTP. [`Pump`] runs real
//! workers over a real log in one thread, in event time, everything derived drained before the next input; [`Ahead`] runs on
//! another the fold that depends on none of them. [`Actor`] and
//! [`FaultyLog`] are for simulations that let processes die, stall and break promises wherever a seed says.
//! [`market`] is another marketplace, in which attackers react: verdicts are judged by it, so it knows nothing of rules.

mod actor;
mod ahead;
mod attacks;
mod faulty;
mod honest;
pub mod market;
mod pump;
mod world;

pub use actor::{Actor, Fate, Stepped};
pub use ahead::{Ahead, Said};
pub use attacks::{Attack, Pattern};
pub use faulty::{FaultyLog, Plant};
pub use honest::special;
pub use pump::{Pump, PumpError};
pub use world::{Action, Call, Listing, Supplier, World};
