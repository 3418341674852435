//! Gives a client of Kafka the addresses of its brokers once more.
//!
//! From 2.10 on librdkafka forgets every broker that an answer about metadata does not name, and those it was configured with
//! besides. A cluster that has just come back may answer, for an instant, that it has topics but no brokers: whoever asked then
//! knows nobody to ask any more, and stays silent until its process is started anew (librdkafka's issue 5301, open when this was
//! written). librdkafka has a call that adds addresses, which is the remedy; rdkafka does not pass it on. It stands in a crate of
//! its own so that no other has to allow calls into C.

use std::ffi::CString;

use rdkafka::{
    bindings,
    client::{Client, ClientContext},
};

/// Adds `brokers` (`host:port`, separated by commas) to those that the client may ask; how many of them it took, 0 when the text
/// is no list of addresses. What it knows already stays.
pub fn add<C: ClientContext>(client: &Client<C>, brokers: &str) -> usize {
    let Ok(brokers) = CString::new(brokers) else { return 0 };
    // SAFETY: the handle is the client's own and lives as long as the borrow of it; the text ends with a zero and is copied
    // before the call returns; the call may be made from any thread.
    #[allow(unsafe_code, reason = "rdkafka has no call for this")]
    let added = unsafe { bindings::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
    usize::try_from(added).unwrap_or(0)
}
