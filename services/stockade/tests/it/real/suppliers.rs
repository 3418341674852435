//! Roles apart: who is registered at a process of one role is known to those of another.

use serde_json::{Value, json};
use stockade_testkit::wait_until;

use super::world::{PATIENCE, World, possible, request};

#[test]
fn a_supplier_registered_at_an_inventory_process_is_on_the_console_of_every_lockout_process() {
    if !possible() {
        return;
    }
    let world = World::start(0);
    let key = &world.keys.operator;
    let of = |index: usize, path: &str| {
        request(world.servers[index].api, "GET", path, key, "").unwrap_or((0, Value::Null))
    };
    let at_lockout = world.of_role("lockout");
    assert_eq!(at_lockout.len(), 2);
    let part = |name: &str| format!("/v1/suppliers/late/{name}");
    for index in &at_lockout {
        for name in ["standing", "impact", "risk"] {
            let (status, told) = of(*index, &part(name));
            assert_eq!((status, &told["code"]), (404, &json!("unknown_supplier")), "{name}: {told}");
        }
    }
    let body = json!({ "name": "Late", "region": "DE" }).to_string();
    let registered = wait_until(PATIENCE, || {
        request(world.front(), "PUT", "/v1/suppliers/late", key, &body).is_ok_and(|(status, _)| status == 200)
    });
    assert!(registered, "it is not registered");
    for index in &at_lockout {
        // What the page of a supplier asks for there.
        for path in ["standing", "impact", "appeals"].map(part) {
            let known = wait_until(PATIENCE, || of(*index, &path).0 == 200);
            assert!(known, "{path}: {:?}", of(*index, &path));
        }
        assert_eq!(of(*index, &part("risk")).1["code"], "no_score", "it is known, and not what it scores");
        // Its name is known where inventory runs: the page says its id then.
        assert_eq!(of(*index, "/v1/suppliers/late").1["code"], "no_such_path");
    }
    // And people there decide about it, which each of them shows.
    let deny = json!({
        "supplier": "late", "deny": "dim", "scope": { "kind": "supplier" }, "reason": "seen by hand", "expires_at": "2999-01-01T00:00:00Z",
    })
    .to_string();
    let decided = wait_until(PATIENCE, || {
        request(world.servers[at_lockout[0]].api, "POST", "/v1/overrides", key, &deny)
            .is_ok_and(|(status, _)| status == 200)
    });
    assert!(decided, "nothing is decided");
    for index in &at_lockout {
        let shown = wait_until(PATIENCE, || of(*index, "/v1/suppliers/late/standing").1["level"] == "dim");
        assert!(shown, "{:?}", of(*index, "/v1/suppliers/late/standing"));
        assert_eq!(of(*index, "/v1/decisions?supplier=late").1["decisions"][0]["action"], "imposed");
    }
}
