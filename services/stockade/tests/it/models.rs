//! What became of the orders that models had predicted, through the API.

use axum::http::Method;
use serde_json::{Value, json};
use stockade_model::{Timestamp, time::DAY_MS};
use stockade_runtime::clock;

use crate::{api::model_file, support::Api};

async fn publish(api: &Api, seed: u64) {
    let bearer = format!("Bearer {}", api.analyst);
    let file = model_file(seed).into_bytes();
    let reply = api.raw(Method::POST, "/v1/models", &[("authorization", &bearer)], file).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

async fn promote(api: &Api) {
    let reply = api.call(&api.analyst, Method::POST, "/v1/models:promote", Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// Orders, bad ones and those that wait of a model.
fn counts(models: &Value, place: &str) -> [Option<u64>; 3] {
    ["orders", "bad", "waiting"].map(|name| models[place]["calibration"][name].as_u64())
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_told_beside_the_frauds_that_were_confirmed_and_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    publish(&api, 1).await;
    promote(&api).await;
    publish(&api, 2).await;
    api.supplier("acme").await;
    let days_ago = |days: i64| Timestamp::from_ms(clock::now_ms() - days * DAY_MS).to_string();
    let say = async |order: usize, kind: &str, time: String| {
        let id = format!("{kind}-{order}");
        let event = json!({
            "specversion": "1.0", "id": id, "source": "shop", "type": format!("stockade.order.{kind}"), "time": time,
            "data": { "supplier": "acme", "order": format!("o-{order}"), "buyer": format!("b-{order}") },
        });
        let reply = api.call(&api.orders, Method::POST, "/v1/events", event).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
    };
    // Old enough, however a week begins; and of today.
    for order in 0..20 {
        say(order, "placed", days_ago(60)).await;
    }
    for order in 20..25 {
        say(order, "placed", days_ago(0)).await;
    }
    for order in [3, 4, 22] {
        say(order, "fraud_confirmed", days_ago(0)).await;
    }
    let told = async |api: &Api| api.get(&api.analyst, "/v1/models").await.body;
    let all = [Some(20), Some(2), Some(5)];
    api.until("all of it is counted", async |api| counts(&told(api).await, "champion") == all).await;
    let models = told(&api).await;
    assert_eq!(counts(&models, "challenger"), all);
    assert!(models["former"].is_null());
    let calibration = &models["champion"]["calibration"];
    assert_eq!(
        (&calibration["outcome"], &calibration["known_after_days"]),
        (&json!("fraud_confirmed"), &json!(45))
    );
    assert!(calibration["from"].is_string() && calibration["next_at"].is_string(), "{calibration}");
    let bins = calibration["bins"].as_array().unwrap();
    let sum = |name: &str| bins.iter().filter_map(|bin| bin[name].as_u64()).sum::<u64>();
    assert_eq!((bins.len(), sum("orders"), sum("bad")), (10, 20, 2));
    for bin in bins {
        let is_empty = bin["orders"] == 0;
        assert!(
            ["predicted", "seen", "low", "high", "reading"]
                .iter()
                .all(|name| bin[*name].is_null() == is_empty),
            "{bin}"
        );
    }
    promote(&api).await;
    let former = told(&api).await;
    assert_eq!(counts(&former, "former"), all, "a model keeps what is known of it");
    api.close().await;
    let api = Api::open(directory.path()).await;
    api.until("it is back", async |api| counts(&told(api).await, "champion") == all).await;
    api.close().await;
}
