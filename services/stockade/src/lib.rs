//! The `stockade` command line: one process with every service in it, and the tools around it.

mod client;
pub mod config;
pub mod connect;
mod decisions;
pub mod demo;
pub mod doctor;
pub mod evaluate;
mod figures;
mod given;
pub mod keys;
mod lockouts;
pub mod model;
pub mod platform;
pub mod replay;
mod rescore;
pub mod rules;
pub mod serve;
pub mod simulate;
mod stalls;
