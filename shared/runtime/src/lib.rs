//! What every service needs and none should write twice: configuration, keys, limits, problems, the HTTP server,
//! telemetry, shutdown.

pub mod api;
pub mod auth;
pub mod body;
pub mod brownout;
pub mod clock;
pub mod codes;
pub mod config;
pub mod cors;
pub mod http;
pub mod keyring;
pub mod limits;
pub mod list;
pub mod metrics;
pub mod problem;
pub mod request;
pub mod role;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod tally;
pub mod telemetry;
pub mod text;
pub mod turns;
pub mod waiters;

pub use auth::{Caller, Principal, Role};
pub use body::{BodyBytesMax, BodyRoom};
pub use brownout::{Brownout, BrownoutConfig, Ladder, Rung, Work, put_off};
pub use clock::system_clock;
pub use cors::Cors;
pub use keyring::{KeyError, KeyRing};
pub use limits::{Limits, LimitsConfig, Trust};
pub use list::ListQuery;
pub use problem::{FieldError, Problem};
pub use request::{Params, Parsed, Path, Text};
pub use role::{Analyst, Approver, Edge, Operator, OwnSupplier, SupplierOrStaff, unlimited};
pub use server::{Connections, Lane, Lanes, Listener};
pub use session::{Session, SessionBounds, Sessions};
pub use shutdown::Shutdown;
pub use text::Reason;
pub use turns::{Turn, Turns, TurnsConfig};
pub use waiters::{Waiter, Waiters};
