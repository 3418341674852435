use super::*;
use crate::Caller;

fn supplier(id: &str) -> Role {
    Role::Supplier { supplier: SupplierId::new(id).unwrap() }
}

#[test]
fn many_keys_are_made_at_once_all_or_none_in_a_file_and_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    for ring in [KeyRing::open(&path).unwrap(), KeyRing::default()] {
        let of = |names: [&str; 3]| names.map(|name| (name.to_owned(), Role::Buyer));
        let made = ring.create_all(&of(["a", "b", "c"])).unwrap();
        let whose = |key: &String| ring.find(key).unwrap().id;
        assert_eq!(made.iter().map(whose).collect::<Vec<_>>(), ["a", "b", "c"]);
        for (names, taken) in [(["d", "e", "b"], "b"), (["f", "g", "f"], "f")] {
            let refused = ring.create_all(&of(names)).unwrap_err();
            assert!(matches!(&refused, KeyError::NameTaken(name) if name == taken), "{refused}");
        }
        assert!(matches!(ring.create_all(&of(["h", "i", "a b"])), Err(KeyError::BadName(_))));
        assert_eq!(ring.len(), 3);
        assert_eq!(ring.create_all(&of(["d", "e", "f"])).unwrap().len(), 3, "no name was left taken");
    }
    let bounded = KeyRing::open(&path).unwrap().making_at_most(7);
    let two = [("x".to_owned(), Role::Buyer), ("y".to_owned(), Role::Buyer)];
    let refused = bounded.create_all(&two).unwrap_err();
    assert!(matches!(refused, KeyError::TooMany { made: 6, most: 7 }), "{refused}");
    assert!(bounded.create_all(&two[..1]).is_ok());
}

#[test]
fn keys_survive_in_the_file_as_hashes_only_and_go_when_their_line_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    let ring = KeyRing::open(&path).unwrap();
    let key = ring.create("acme-1", supplier("acme")).unwrap();
    ring.create("ops", Role::Operator).unwrap();
    assert_eq!(key.len(), 3 + 64);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&key[3..]), "the key itself is never kept");

    let again = KeyRing::open(&path).unwrap();
    let caller = Caller(again.find(&key).unwrap());
    assert!(caller.must_be_supplier(&SupplierId::new("acme").unwrap()).is_ok());
    let other = SupplierId::new("other").unwrap();
    assert_eq!(caller.must_be_supplier(&other).unwrap_err().code, "not_your_supplier");
    assert!(again.find("sk_0").is_none());
    let has = |ring: &KeyRing, id: &str| ring.has_key_of(&SupplierId::new(id).unwrap());
    assert!(has(&ring, "acme") && has(&again, "acme") && !has(&again, "other"));

    std::fs::write(&path, text.lines().nth(1).unwrap()).unwrap();
    again.reload().unwrap();
    assert!(again.find(&key).is_none() && again.len() == 1 && !has(&again, "acme"));
}

#[test]
fn what_is_longer_than_any_key_is_not_even_looked_up() {
    let ring = KeyRing::default();
    let long = "x".repeat(KEY_BYTES_MAX);
    ring.add(&long, "at the bound", Role::Buyer);
    assert!(ring.find(&long).is_some());
    let longer = long + "x";
    ring.add(&longer, "beyond it", Role::Buyer);
    assert!(ring.find(&longer).is_none());
}

#[test]
fn every_key_has_its_own_name_and_people_choose_theirs() {
    let directory = tempfile::tempdir().unwrap();
    for ring in [KeyRing::default(), KeyRing::open(&directory.path().join("keys.jsonl")).unwrap()] {
        for person in [Role::Analyst, Role::Approver, Role::Operator] {
            let refused = ring.create_unnamed(person);
            assert!(matches!(refused, Err(KeyError::NameNeeded(_))), "{refused:?}");
        }
        ring.create("ada", Role::Approver).unwrap();
        let again = ring.create("ada", Role::Approver);
        assert!(matches!(again, Err(KeyError::NameTaken(_))), "{again:?}");
        for bad in ["", "buyer~1f3a9c2e", "a b", "a\u{7}", &"x".repeat(65)] {
            assert!(matches!(ring.create(bad, Role::Buyer), Err(KeyError::BadName(_))), "{bad:?}");
        }
        let unnamed = [Role::Buyer, Role::Buyer, supplier("acme"), supplier("acme"), Role::OrderSystem];
        let ids: BTreeSet<String> = unnamed
            .into_iter()
            .map(|role| ring.create_unnamed(role).unwrap())
            .map(|key| ring.find(&key).unwrap().id)
            .collect();
        assert_eq!(ids.len(), 5, "limits and idempotency keys go by these: {ids:?}");
        assert!(ids.iter().all(|id| id.contains('~')), "nobody can choose such a name: {ids:?}");
    }
}

#[test]
fn a_revoked_key_is_gone_from_the_file_and_from_a_ring_that_reads_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    let (serving, command) = (KeyRing::open(&path).unwrap(), KeyRing::open(&path).unwrap());
    let keys: Vec<_> = ["ada", "ben"].map(|name| command.create(name, Role::Analyst).unwrap()).into();
    serving.reload().unwrap();
    assert!(keys.iter().all(|key| serving.find(key).is_some()));
    let listed = command.list().unwrap();
    assert_eq!(listed.iter().map(|key| key.principal.id.as_str()).collect::<Vec<_>>(), ["ada", "ben"]);
    assert!(listed.iter().all(|key| key.created.is_some() && key.fingerprint.len() == 8));

    command.revoke("ada").unwrap();
    assert!(matches!(command.revoke("ada"), Err(KeyError::NoSuchKey(_))));
    serving.reload().unwrap();
    assert!(serving.find(&keys[0]).is_none() && serving.find(&keys[1]).is_some());
    for ring in [&serving, &command] {
        assert_eq!((ring.role_of("ada"), ring.role_of("ben")), (None, Some(Role::Analyst)));
    }
    command.revoke("ben").unwrap();
    serving.reload().unwrap();
    assert!(serving.is_empty(), "the last key can be revoked too");
}

#[test]
fn only_so_many_keys_are_made_within_an_hour_and_more_when_it_is_over_or_one_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    let ring = || KeyRing::open(&path).unwrap().making_at_most(3);
    for name in ["a", "b", "c"] {
        ring().create(name, Role::Analyst).unwrap();
    }
    let refused = ring().create_unnamed(supplier("acme")).unwrap_err();
    assert!(matches!(refused, KeyError::TooMany { made: 3, most: 3 }), "{refused}");
    assert!(refused.to_string().contains("keys.per_hour_max"), "{refused}");
    assert_eq!(ring().len(), 3, "nothing was made");
    // As if the first had been made long before.
    let text = std::fs::read_to_string(&path).unwrap();
    let year = clock_year(&text);
    std::fs::write(&path, text.replacen(&format!("\"created\":\"{year}"), "\"created\":\"2001", 1)).unwrap();
    ring().create("d", Role::Analyst).unwrap();
    assert!(ring().create("e", Role::Analyst).is_err());
    ring().revoke("d").unwrap();
    ring().create("e", Role::Analyst).unwrap();
}

/// The year in which the first key of a file was made, as it stands there.
fn clock_year(text: &str) -> String {
    let (_, after) = text.split_once("\"created\":\"").unwrap();
    after[..4].to_owned()
}

#[test]
fn keys_that_share_a_name_in_an_old_file_go_on_working_as_different_people() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    let line = |name: &str, key: &str| {
        format!(r#"{{"id":"{name}","role":"approver","sha256":"{}"}}"#, hex(&hash(key)))
    };
    let old = [line("approver", "one"), line("approver", "two"), line("ada", "three")].join("\n");
    std::fs::write(&path, old).unwrap();
    let ring = KeyRing::open(&path).unwrap();
    let id = |key| ring.find(key).unwrap().id;
    assert_ne!(id("one"), id("two"));
    assert_eq!(id("three"), "ada");
    assert_eq!(ring.shared_names().unwrap(), BTreeSet::from(["approver".to_owned()]));
    ring.revoke(&id("one")).unwrap();
    ring.reload().unwrap();
    assert!(ring.find("one").is_none());
    assert!(id("two").starts_with("approver~"), "the other keeps the identity it has been known by");
}

#[test]
fn a_file_that_is_gone_or_torn_takes_no_key_out_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    let ring = KeyRing::open(&path).unwrap();
    let key = ring.create("ada", Role::Analyst).unwrap();
    std::fs::write(&path, "{\"id\":").unwrap();
    assert!(matches!(ring.reload(), Err(KeyError::BadLine { line: 1, .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(ring.reload(), Err(KeyError::Gone(_))));
    assert!(ring.find(&key).is_some());
}

#[test]
fn keys_made_at_the_same_moment_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.jsonl");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || {
                KeyRing::open(path).unwrap().create(&format!("p-{number}"), Role::Analyst).unwrap();
            });
        }
    });
    assert_eq!(KeyRing::open(&path).unwrap().len(), 8);
}
