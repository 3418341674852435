//! What the console leads newcomers of a demo through: five things to do, the last as an attacker of their own.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use stockade_console::Links;
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_simulator::World;

use super::LINK_MINUTES;
use crate::client::Client;

/// The supplier that whoever watches may be.
const YOU: &str = "you";
/// Goods in the file that they may send: more than the starter rules let anybody claim beyond all measure.
const GOODS: usize = 8;
/// Units of each that it claims.
const UNITS: u32 = 500_000;

/// Makes the link that signs in as the attacker; the answer is what the console is told.
pub(super) fn make(links: &Links, world: &World) -> Result<Value> {
    let role = Role::Supplier { supplier: SupplierId::new(YOU)? };
    let token = links.make(YOU, role, LINK_MINUTES)?;
    let mut file = "listing,sku,location,price,currency,regions,on_hand\n".to_owned();
    for (number, cents) in world.sku_prices.iter().enumerate().take(GOODS) {
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        file.push_str(&format!("you-{number},SKU-{number:05},main,{price},EUR,DE,{UNITS}\n"));
    }
    Ok(json!({ "supplier": YOU, "link": format!("/console/sign-in#{token}"), "file": file }))
}

/// Registers the attacker, who has nothing to offer until somebody sends the file.
pub(super) async fn enter(server: SocketAddr, operator: &str, ring: &KeyRing) -> Result<()> {
    let key = ring.create("demo-you", Role::Supplier { supplier: SupplierId::new(YOU)? })?;
    let client = Client::new(server);
    let calls = [
        (format!("/v1/suppliers/{YOU}"), operator, json!({ "name": "You", "region": "DE" })),
        (
            format!("/v1/suppliers/{YOU}/locations/main"),
            key.as_str(),
            json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 1 }),
        ),
    ];
    for (path, key, body) in calls {
        let answer = client.send(Method::PUT, &path, key, Bytes::from(body.to_string())).await?;
        anyhow::ensure!(answer.status.is_success(), answer.refusal());
    }
    Ok(())
}
