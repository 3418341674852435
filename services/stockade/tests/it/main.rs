//! The whole path: the API in process, the real binary killed and restarted, histories replayed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod api;
mod baskets;
mod brownout;
mod commands;
mod contract;
mod document;
mod edges;
mod evaluate;
mod histories;
mod hooks;
mod imports;
mod imports_killed;
mod marketplace;
mod mistakes;
mod models;
mod operations;
mod people;
mod real;
mod replay;
mod rules;
mod sandbox;
mod simulate;
mod slow;
mod stock;
mod support;
mod tools;
mod wire;
