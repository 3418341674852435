//! The console: the pages that people keep open, sign-in by a link, and one live stream for each tab.
//!
//! It knows no other service. The binary hands it what it shows: decisions as they are read from the log ([`Hub::decided`]), figures
//! once a second and what else changes ([`Sample`], [`Hub::sampled`]). The pages call the same `/v1` as everybody else, with a cookie in place of a key.

mod assets;
mod feed;
mod history;
mod http;
mod hub;
mod links;
mod sample;
mod stream;
mod tallies;

pub use assets::Assets;
pub use feed::{Annotation, Row};
pub use http::{CHAPTER, Console, router, routes, sign_in_operations};
pub use hub::Hub;
pub use links::{LINK_MINUTES, LinkError, Links, check_name};
pub use sample::{Alert, Sample};
