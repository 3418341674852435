//! The whole path: the API in process, the real binary killed and restarted, histories replayed.

mod api;
mod replay;
mod slow;
mod support;
