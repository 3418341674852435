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

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

    use super::*;
    use crate::{client::Watch, options::KafkaOptions};

    #[test]
    fn to_ask_whether_a_client_is_answered_makes_no_topic() {
        let cluster = MockCluster::<'static, DefaultProducerContext>::new(1).unwrap();
        let options = KafkaOptions::new(cluster.bootstrap_servers(), "a");
        let producer: BaseProducer<Watch> = options.producer().create_with_context(Watch::default()).unwrap();
        let reader: BaseConsumer<Watch> = options.admin(true).create_with_context(Watch::default()).unwrap();
        assert!(producer.is_answered() && reader.is_answered());
        let all = reader.fetch_metadata(None, SOON).unwrap();
        assert_eq!(all.topics().iter().map(|topic| topic.name()).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
