//! What every client of librdkafka here has in common: where its log and its errors go, and how long it waits.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};

/// How long one question to a broker may take.
pub(crate) const ASK: Duration = Duration::from_secs(5);
/// A topic that is asked about to hear whether a broker answers.
pub(crate) const PROBE: &str = "stockade-probe-nothing";

/// Sends librdkafka's log to ours and remembers the last error, so that a refusal can say why.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    last: Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>,
}

impl Watch {
    /// The last error that librdkafka reported.
    pub(crate) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().clone()
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }
    fn error(&self, error: KafkaError, reason: &str) {
        metrics::counter!("stockade_log_client_errors_total").increment(1);
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
        if let Some(code) = error.rdkafka_error_code() {
            let mut last = self.last.lock();
            // That no broker is up follows from what was said before, which is the more useful of the two.
            let vague = code == RDKafkaErrorCode::AllBrokersDown;
            // Events of an ordinary day that come the same way.
            let ordinary = matches!(code, RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::NoOffset);
            if !ordinary && (!vague || last.is_none()) {
                *last = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
