//! What every service needs and none should write twice: configuration, keys, limits, problems, telemetry, shutdown.

pub mod auth;
pub mod body;
pub mod clock;
pub mod config;
pub mod http;
pub mod limits;
pub mod problem;
pub mod shutdown;
pub mod telemetry;

pub use auth::{Caller, KeyRing, Principal, Role};
pub use clock::system_clock;
pub use limits::{Limits, LimitsConfig};
pub use problem::{FieldError, Problem};
pub use shutdown::Shutdown;
