//! The `stockade` command line: one process with every service in it, and the tools around it.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod acts;
pub mod address;
pub mod asyncapi;
pub mod audit;
mod client;
pub mod config;
pub mod connect;
pub mod console;
mod decisions;
pub mod demo;
mod disk;
mod docs;
pub mod doctor;
pub mod evaluate;
pub mod figures;
mod first;
mod hot;
mod inputs;
pub mod keys;
mod lockouts;
pub mod map;
mod marketplace;
pub mod mirror;
pub mod model;
mod open_files;
pub mod openapi;
pub mod output;
pub mod platform;
pub mod push;
pub mod replay;
mod rescore;
pub mod rules;
mod sandbox;
pub mod serve;
pub mod server_url;
pub mod simulate;
mod stalls;
mod threads;
pub mod watch;
