//! The shape of the crate: its modules depend on each other in one direction.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The modules that a source file uses: what follows `crate::`, alone or in braces.
fn uses(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (index, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if begins && letter.is_alphabetic() => {
                    found.insert(name(&list[index..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Takes away whoever depends on nothing that is left, until nobody is; gives those that remain, which are in a circle or
/// depend on one.
fn circles(mut modules: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let free = modules.iter().find(|(_, uses)| uses.iter().all(|used| !modules.contains_key(used)));
        let Some(free) = free.map(|(module, _)| module.clone()) else { return modules };
        modules.remove(&free);
    }
}

#[test]
fn no_two_modules_of_the_crate_depend_on_each_other_however_far_around() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let within = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in within(&sources) {
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // A folder is one module, whatever its files are called.
        let files = if path.is_dir() { within(&path) } else { vec![path] };
        let used = files.iter().flat_map(|file| uses(&std::fs::read_to_string(file).unwrap()));
        modules.insert(module, used.collect());
    }
    assert!(modules["mirror"].contains("scan"), "{modules:#?}");
    assert!(modules["consumer"].contains("claim") && modules["topic"].contains("broker"), "{modules:#?}");
    assert_eq!(circles(modules), BTreeMap::new());
}

#[test]
fn a_circle_of_modules_is_found_with_whatever_leads_into_it() {
    let modules =
        [("a", "use crate::{b::B, c::{D, E}};"), ("b", "crate::c::x()"), ("c", "use crate::b;"), ("d", "")];
    let modules = modules.map(|(module, source)| (module.to_owned(), uses(source)));
    assert_eq!(circles(modules.into()).into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}
