//! On a real Redis. `STOCKADE_TEST_REDIS` says where one is; without it these tests are skipped, and say so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod real {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::{Duration, Instant},
    };

    use stockade_model::{Level, Scope};
    use stockade_quarantine::{
        Put, QuarantineStore as _,
        conformance::{self, entry, now, restriction, version},
    };
    use stockade_quarantine_redis::RedisStore;
    use stockade_testkit::Redis;

    fn redis() -> Option<String> {
        let found = std::env::var("STOCKADE_TEST_REDIS").ok();
        if found.is_none() {
            eprintln!(
                "skipped: STOCKADE_TEST_REDIS is not set; `cargo xtask test` sets it, `cargo xtask up` prints one"
            );
        }
        found
    }

    fn prefix() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
    }

    fn store(url: &str, prefix: &str) -> RedisStore {
        RedisStore::new(url, prefix, Duration::from_secs(2)).unwrap()
    }

    /// A runtime that works while the suite, which knows none, waits.
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn redis_keeps_the_contract() {
        let Some(url) = redis() else { return };
        let (runtime, prefix) = (runtime(), prefix());
        let _inside = runtime.enter();
        conformance::run(|| store(&url, &prefix), true);
    }

    #[test]
    fn two_writers_at_once_leave_the_later_version() {
        let Some(url) = redis() else { return };
        let (runtime, prefix) = (runtime(), prefix());
        let _inside = runtime.enter();
        std::thread::scope(|scope| {
            for first in [0u64, 1] {
                let (runtime, url, prefix) = (&runtime, &url, &prefix);
                scope.spawn(move || {
                    let _inside = runtime.enter();
                    let store = store(url, prefix);
                    for offset in (first..200).step_by(2) {
                        now(store.put(entry("a", offset, Vec::new())));
                    }
                });
            }
        });
        let store = store(&url, &prefix);
        assert_eq!(now(store.since(None)).len(), 1);
        assert_eq!(now(store.summary()).last, Some(version(199)));
    }

    #[test]
    fn a_hint_follows_every_change() {
        let Some(url) = redis() else { return };
        let store = store(&url, &prefix());
        let runtime = runtime();
        runtime.block_on(async {
            let mut hints = store.hints().await.unwrap();
            store.put(entry("a", 1, Vec::new())).await.unwrap();
            tokio::time::timeout(Duration::from_secs(10), hints.recv()).await.unwrap().unwrap();
        });
    }

    #[test]
    fn an_entry_that_was_evicted_is_left_out_and_the_rest_is_read() {
        let Some(url) = redis() else { return };
        let (runtime, prefix) = (runtime(), prefix());
        let _inside = runtime.enter();
        let store = store(&url, &prefix);
        for (supplier, offset) in [("a", 1), ("b", 2)] {
            now(store.put(entry(supplier, offset, vec![restriction(Scope::Supplier, Level::Dim)])));
        }
        runtime.block_on(async {
            let client = redis_client(&url).await;
            client.del(format!("{{{prefix}}}:supplier:a")).await;
        });
        assert_eq!(now(store.since(None)).len(), 1);
        assert_eq!(now(store.summary()).entries, 1, "and the index no longer counts it");
        assert_eq!(now(store.put(entry("a", 1, Vec::new()))), Put::Applied, "it can be written again");
    }

    struct Raw(std::net::TcpStream);
    async fn redis_client(url: &str) -> Raw {
        Raw(std::net::TcpStream::connect(url.trim_start_matches("redis://")).unwrap())
    }
    impl Raw {
        async fn del(mut self, key: String) {
            use std::io::{Read as _, Write as _};
            write!(self.0, "*2\r\n$3\r\nDEL\r\n${}\r\n{key}\r\n", key.len()).unwrap();
            let mut reply = [0; 16];
            let count = self.0.read(&mut reply).unwrap();
            assert_eq!(&reply[..count], b":1\r\n");
        }
    }

    #[test]
    fn a_server_that_is_away_or_silent_costs_no_more_than_the_time_out_and_is_found_again() {
        if redis().is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut server = Redis::start(directory.path()).unwrap();
        let store = RedisStore::new(&server.url(), "p", Duration::from_millis(300)).unwrap();
        let runtime = runtime();
        runtime.block_on(async {
            store.put(entry("a", 1, Vec::new())).await.unwrap();
            server.kill().unwrap();
            let begun = Instant::now();
            let error = store.put(entry("a", 2, Vec::new())).await.unwrap_err();
            assert!(
                begun.elapsed() < Duration::from_secs(5) && error.to_string().contains("Redis at 127.0.0.1")
            );
            server.start_again().unwrap();
            // The first call may still meet the old connection.
            let _ = store.summary().await;
            assert_eq!(store.summary().await.unwrap().entries, 0);
            server.command(&["CLIENT", "PAUSE", "3000", "ALL"]).unwrap();
            let error = store.put(entry("a", 2, Vec::new())).await.unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(60) && !error.to_string().is_empty());
        });
    }

    #[test]
    fn a_cluster_keeps_the_contract() {
        if redis().is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let server = Redis::start_with(directory.path(), &["--cluster-enabled", "yes"]).unwrap();
        server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
        let up = || server.command(&["CLUSTER", "INFO"]).is_ok_and(|info| info.contains("cluster_state:ok"));
        assert!(stockade_testkit::wait_until(Duration::from_secs(30), up));
        let url = format!("redis+cluster://127.0.0.1:{}", server.port());
        let runtime = runtime();
        let _inside = runtime.enter();
        conformance::run(|| store(&url, "p"), true);
    }

    #[test]
    fn the_master_is_found_through_a_sentinel() {
        if redis().is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let server = Redis::start(&directory.path().join("master")).unwrap();
        let config = directory.path().join("sentinel.conf");
        std::fs::write(&config, format!("sentinel monitor main 127.0.0.1 {} 1\n", server.port())).unwrap();
        let sentinel = Redis::start_sentinel(&directory.path().join("sentinel"), &config).unwrap();
        let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
        let runtime = runtime();
        let _inside = runtime.enter();
        conformance::run(|| store(&url, "p"), true);
    }
}
