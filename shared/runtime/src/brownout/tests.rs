use proptest::prelude::*;

use super::*;

fn bounds() -> BrownoutConfig {
    BrownoutConfig::default()
}

#[test]
fn it_goes_up_at_once_and_comes_down_a_rung_at_a_time() {
    let mut ladder = Ladder::new(&bounds());
    assert_eq!(ladder.look(999, 0), Rung::Calm);
    assert_eq!(ladder.look(1_000, 100), Rung::Analyses);
    assert_eq!(ladder.look(8_500, 200), Rung::Bulk, "as far as the pressure says");
    assert_eq!(ladder.look(4_001, 5_000), Rung::Bulk, "more than half of its bound");
    assert_eq!(ladder.look(0, 5_100), Rung::Bulk);
    assert_eq!(ladder.look(0, 6_099), Rung::Bulk, "not calm for long enough");
    assert_eq!(ladder.look(0, 6_100), Rung::New);
    assert_eq!(ladder.look(0, 7_100), Rung::Suspect);
    assert_eq!(ladder.look(1_900, 8_000), Rung::Suspect, "it is not calm any more");
    assert_eq!(ladder.look(0, 9_000), Rung::Suspect);
    assert_eq!(ladder.look(0, 10_000), Rung::Streams);
}

#[test]
fn work_is_put_off_in_the_order_of_the_ladder_and_by_its_own_partition() {
    let brownout = Brownout::new(&bounds(), 2);
    let works = [
        (Work::Analysis, Trust::Trusted),
        (Work::Import, Trust::Trusted),
        (Work::Bulk, Trust::Suspect),
        (Work::Row, Trust::Suspect),
        (Work::Stock, Trust::Suspect),
        (Work::Bulk, Trust::New),
        (Work::Row, Trust::New),
        (Work::Bulk, Trust::Trusted),
        (Work::Row, Trust::Trusted),
        (Work::Events, Trust::Trusted),
    ];
    let mut before = works.len() + 1;
    for rung in Rung::ALL {
        brownout.set(rung, rung, [Rung::Calm, rung]);
        let admitted = works.iter().filter(|(work, trust)| match work {
            Work::Analysis | Work::Events => brownout.admits(*work).is_ok(),
            _ => brownout.admits_write(*work, *trust, 1).is_ok(),
        });
        let admitted = admitted.count();
        assert!(admitted < before || rung == Rung::Streams, "{rung:?} puts off more than what is below it");
        before = admitted;
        for work in [Work::Row, Work::Import] {
            let elsewhere = brownout.admits_write(work, Trust::Suspect, 0);
            assert!(elsewhere.is_ok(), "{work:?}: another partition is not behind");
        }
    }
    assert_eq!(before, 0);
    let refused = brownout.admits(Work::Analysis).unwrap_err();
    assert_eq!((refused.status, refused.code), (503, "put_off"));
    let response = refused.into_response();
    assert_eq!(response.headers()["retry-after"], "7", "as long as the ladder takes at least");
}

#[test]
fn bounds_that_fall_are_refused() {
    assert_eq!(bounds().problems(), Vec::<String>::new());
    assert_eq!(BrownoutConfig::never().problems(), Vec::<String>::new());
    assert_eq!(BrownoutConfig { new_ms: 1, ..bounds() }.problems().len(), 1);
    assert_eq!(BrownoutConfig { calm_ms: 0, ..bounds() }.problems().len(), 1);
}

proptest! {
    /// Whatever happens: never below what the pressure says now, never above what it said at its worst, down by one rung at
    /// most in `calm_ms`, and all the way down once it is calm.
    #[test]
    fn a_ladder_follows_the_pressure_without_swinging(
        steps in proptest::collection::vec((0_u64..30_000, 1_u64..3_000), 1..200),
    ) {
        let config = bounds();
        let mut ladder = Ladder::new(&config);
        let said = |pressure| {
            Rung::of(config.bounds().iter().filter(|bound| pressure >= **bound).count() as u8)
        };
        let (mut now, mut worst, mut before) = (0, Rung::Calm, Rung::Calm);
        let mut left_at = None;
        for (pressure, step) in steps {
            now += step;
            worst = worst.max(said(pressure));
            let rung = ladder.look(pressure, now);
            prop_assert!(rung >= said(pressure) && rung <= worst);
            if rung < before {
                prop_assert_eq!(rung as u8 + 1, before as u8);
                prop_assert!(left_at.is_none_or(|at| now - at >= config.calm_ms), "too soon after the last");
                left_at = Some(now);
            }
            before = rung;
        }
        for _ in 0..=7 {
            now += config.calm_ms;
            before = ladder.look(0, now);
        }
        prop_assert_eq!(before, Rung::Calm);
    }

    /// Of two pressures that go on side by side the greater is never on a lower rung.
    #[test]
    fn more_pressure_never_puts_off_less(
        steps in proptest::collection::vec((0_u64..30_000, 0_u64..5_000, 1_u64..3_000), 1..100),
    ) {
        let (mut low, mut high) = (Ladder::new(&bounds()), Ladder::new(&bounds()));
        let mut now = 0;
        for (pressure, more, step) in steps {
            now += step;
            let (low, high) = (low.look(pressure, now), high.look(pressure + more, now));
            prop_assert!(high >= low, "{high:?} under more than {low:?}");
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_a_body_that_is_put_off_but_of_whoever_shows_a_key() {
    use axum::{Extension, Router, body::Body, middleware::from_fn, routing::post};
    use tower::ServiceExt as _;

    let brownout = Brownout::new(&BrownoutConfig::default(), 0);
    brownout.set(Rung::Rows, Rung::Rows, []);
    let ring = crate::KeyRing::default();
    let key = ring.create_unnamed(crate::Role::OrderSystem).unwrap();
    let router = Router::new()
        .route("/", post(|| async { "begun" }))
        .layer(from_fn(|request, next| mark(Work::Events, request, next)))
        .layer((Extension(brownout), Extension(ring)));
    let ask = async |key: &str, body: Body| {
        let request = Request::post("/").header("authorization", format!("Bearer {key}")).body(body).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 503);
        answer.headers().contains_key(header::CONNECTION)
    };
    // One that never comes: with it, this would wait for ever.
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::convert::Infallible>>();
    assert!(ask("sk_0", Body::from_stream(never)).await, "the connection ends with the answer");
    assert!(!ask(&key, Body::from("[]")).await);
}
