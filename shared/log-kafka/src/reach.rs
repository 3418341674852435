//! Clients that know no broker any more are found and told the addresses again, see [`stockade_kafka_addresses`].

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use rdkafka::{
    client::{Client, ClientContext},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    producer::{BaseProducer, Producer, ProducerContext},
};

use crate::client::PROBE;

/// A client that gets no answer within this, while others do, is told.
const SOON: Duration = Duration::from_secs(2);

/// A client as far as this goes.
pub(crate) trait Reaches: Send + Sync {
    /// Whether a broker answers it.
    fn is_answered(&self) -> bool;
    /// Gives it the addresses.
    fn tell(&self, brokers: &str);
}

fn is_answered<C: ClientContext>(client: &Client<C>) -> bool {
    client.fetch_metadata(Some(PROBE), SOON).is_ok_and(|metadata| !metadata.brokers().is_empty())
}

impl<C: ConsumerContext + 'static> Reaches for BaseConsumer<C> {
    fn is_answered(&self) -> bool {
        is_answered(self.client())
    }
    fn tell(&self, brokers: &str) {
        stockade_kafka_addresses::add(self.client(), brokers);
    }
}

impl<C: ProducerContext + 'static> Reaches for BaseProducer<C> {
    fn is_answered(&self) -> bool {
        is_answered(self.client())
    }
    fn tell(&self, brokers: &str) {
        stockade_kafka_addresses::add(self.client(), brokers);
    }
}

/// The clients of this process that live longer than one question.
#[derive(Default)]
pub(crate) struct Clients {
    all: Mutex<Vec<Weak<dyn Reaches>>>,
}

impl Clients {
    /// Looks after a client for as long as it lives.
    pub(crate) fn look_after<T: Reaches + 'static>(&self, client: &Arc<T>) {
        let client: Weak<T> = Arc::downgrade(client);
        self.all.lock().push(client);
    }

    /// Tells those that are not answered although `others_are`; how many.
    pub(crate) fn look(&self, brokers: &str, others_are: impl Fn() -> bool) -> usize {
        let all: Vec<Arc<dyn Reaches>> = {
            let mut all = self.all.lock();
            all.retain(|client| client.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        let mut told = 0;
        for client in all.iter().filter(|client| !client.is_answered()) {
            // While nobody is answered nobody is told: that would only make lists longer.
            if told == 0 && !others_are() {
                break;
            }
            client.tell(brokers);
            told += 1;
        }
        told
    }
}
