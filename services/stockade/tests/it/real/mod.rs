//! Several processes of every role on a real Kafka and a real Redis, killed, restarted, scaled, cut off. Each test starts
//! its own servers. Left out by `cargo xtask test --fast`.

mod baskets;
mod chaos;
mod hooks;
mod picture;
mod region;
mod start;
mod suppliers;
mod world;
