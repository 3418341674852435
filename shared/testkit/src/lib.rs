//! Real Apache Kafka and real Redis on free loopback ports, and a proxy that cuts the line: what tests and
//! `cargo xtask up` start. Nothing of it is part of the product.

mod kafka;
mod process;
mod proxy;
mod redis;

pub use kafka::{Kafka, KafkaOptions, SASL_PASSWORD, SASL_USER};
pub use process::{Process, free_ports, stop_process, wait_until};
pub use proxy::Proxy;
pub use redis::Redis;
