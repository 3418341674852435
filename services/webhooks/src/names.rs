//! Looking names up. The system's resolver blocks for as long as it likes, whoever has given up waiting; so only so many are looked up at
//! once, and so few of one owner that whoever has slow names holds up nobody else's.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use stockade_model::EndpointOwner;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Names that are looked up at once.
const AT_ONCE: usize = 8;
/// Of these, those of one owner. Operators have as many beside all others: four owners with slow names would else keep them from hearing.
const OF_AN_OWNER: usize = 2;
/// How long a place is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Places to look names up in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Names {
    all: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    /// Those of each owner that has or wants one.
    own: Arc<Mutex<BTreeMap<EndpointOwner, Weak<Semaphore>>>>,
    patience: Duration,
}

/// A place to look one name up in.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// None came free in time.
#[derive(Debug)]
pub(crate) struct NoPlace;

impl Default for Names {
    fn default() -> Self {
        let (all, operators) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(OF_AN_OWNER)));
        Self { all, operators, own: Arc::default(), patience: PATIENCE }
    }
}

impl Names {
    /// A place for a name of `owner`. That none comes free says nothing of the endpoint.
    pub(crate) async fn place(&self, owner: &EndpointOwner) -> Result<Place, NoPlace> {
        let own = self.of(owner);
        let all = if *owner == EndpointOwner::Operators { &self.operators } else { &self.all };
        let place = async {
            // One's own first, so that whoever waits for that keeps no place of all.
            let own = own.acquire_owned().await.ok()?;
            let of_all = all.clone().acquire_owned().await.ok()?;
            Some(Place { _own: own, _of_all: of_all })
        };
        tokio::time::timeout(self.patience, place).await.ok().flatten().ok_or(NoPlace)
    }

    fn of(&self, owner: &EndpointOwner) -> Arc<Semaphore> {
        let mut own = self.own.lock();
        if let Some(places) = own.get(owner).and_then(Weak::upgrade) {
            return places;
        }
        // Whoever has or wants none is let go of.
        own.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(OF_AN_OWNER));
        own.insert(owner.clone(), Arc::downgrade(&places));
        places
    }
}

/// The addresses behind a name; an address is its own.
pub(crate) async fn look_up(
    place: Option<Place>,
    host: String,
    port: u16,
) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    guarded(place, move || Ok((host, port).to_socket_addrs()?.collect())).await
}

/// Runs what blocks. Its place is free again when it has ended, not when its caller has.
async fn guarded<T: Send + 'static>(
    place: Option<Place>,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let work = move || {
        let done = work();
        drop(place);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn buyer(name: &str) -> EndpointOwner {
        EndpointOwner::Buyer { key: name.to_owned() }
    }

    /// Whoever finds no place at once finds none.
    fn hasty() -> Names {
        Names { patience: Duration::ZERO, ..Names::default() }
    }

    async fn has_place(names: &Names, owner: &str) -> Option<Place> {
        names.place(&buyer(owner)).await.ok()
    }

    #[tokio::test]
    async fn names_that_never_answer_keep_their_places_whoever_gives_up_waiting() {
        let names = hasty();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let running = Arc::new(AtomicUsize::new(0));
        let mut waiting = Vec::new();
        for at in 0..AT_ONCE {
            let place = has_place(&names, &format!("b{at}")).await;
            let (ended, running) = (ended.clone(), running.clone());
            waiting.push(tokio::spawn(guarded(place, move || {
                running.fetch_add(1, Ordering::SeqCst);
                let _ = ended.lock().recv();
                Ok(())
            })));
        }
        while running.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
        waiting.iter().for_each(|task| task.abort());
        for task in waiting {
            assert!(task.await.is_err());
        }
        assert!(has_place(&names, "x").await.is_none(), "all are taken by what nobody waits for any more");
        let address = look_up(None, "127.0.0.1".to_owned(), 7).await.unwrap();
        assert_eq!(address.len(), 1, "an address needs none");
        drop(end);
        while has_place(&names, "x").await.is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_owner_has_two_places_at_most_and_the_others_have_theirs() {
        let names = hasty();
        let slow = [has_place(&names, "slow").await, has_place(&names, "slow").await];
        assert!(slow.iter().all(Option::is_some));
        assert!(has_place(&names, "slow").await.is_none());
        let mut places = Vec::new();
        for owner in ["a", "b", "c", "a", "b", "c"] {
            places.push(has_place(&names, owner).await.unwrap());
        }
        assert!(has_place(&names, "d").await.is_none(), "all places are taken");
        let of_operators = [
            names.place(&EndpointOwner::Operators).await.ok(),
            names.place(&EndpointOwner::Operators).await.ok(),
        ];
        assert!(of_operators.iter().all(Option::is_some), "but those of operators");
        assert!(names.place(&EndpointOwner::Operators).await.is_err());
        drop((slow, of_operators));
        assert!(has_place(&names, "d").await.is_some());
        drop(places);
        assert!(has_place(&names, "slow").await.is_some());
        assert!(has_place(&names, "e").await.is_some());
        assert_eq!(names.own.lock().len(), 1, "who has none is let go of");
    }
}
