//! Programs of others that look at the API: a tester that makes up cases, judges of the documents, and clients in other languages.

/// With the real binary. Left out by `cargo xtask test --fast`.
mod slow {
    use std::{
        path::{Path, PathBuf},
        process::Command,
    };

    use serde_json::{Value, json};

    use crate::slow::{Server, key};

    /// What `cargo xtask test` sets up; without it, these tests say so and pass.
    fn tools() -> Option<PathBuf> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/contract-tools");
        let is_there = tools.join("complete").is_file();
        if !is_there {
            println!("SKIPPED: {} is not complete; `cargo xtask test` sets it up", tools.display());
        }
        is_there.then_some(tools)
    }

    fn here(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    /// Runs it, and shows what it said when it fails.
    fn run(mut command: Command) -> String {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    struct World {
        server: Server,
        keys: Value,
        directory: tempfile::TempDir,
    }

    /// A server with a supplier, its location and a listing, and a key of each role.
    fn world() -> World {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let named = |role: &str| key(data, &["--role", role, "--name", role]);
        let keys = json!({
            "supplier": key(data, &["--role", "supplier", "--supplier", "acme"]), "buyer": named("buyer"),
            "order-system": named("order-system"), "analyst": named("analyst"), "approver": named("approver"),
            "operator": named("operator"),
        });
        let server = Server::start(data);
        let put = |role: &str, path: &str, body: Value| {
            let (status, answer) = server.call("PUT", path, keys[role].as_str().unwrap(), &body.to_string());
            assert_eq!(status, 200, "{answer}");
        };
        let registered = json!({ "name": "Acme", "region": "DE", "since": "2020-01-01T00:00:00Z" });
        put("operator", "/v1/suppliers/acme", registered);
        let place = json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 2 });
        put("supplier", "/v1/suppliers/acme/locations/main", place);
        let listing = json!({ "sku": "SKU-1", "location": "main", "price": { "minor": 1999, "currency": "EUR" }, "on_hand": 1_000_000 });
        put("supplier", "/v1/suppliers/acme/listings/l-1", listing);
        World { server, keys, directory }
    }

    #[test]
    fn thousands_of_made_up_calls_are_answered_as_the_document_says() {
        let Some(tools) = tools() else { return };
        let World { server, keys, directory } = world();
        let url = format!("http://{}", server.api);
        let known = json!({ "supplier": "acme", "listing": "l-1", "location": "main", "sku": "SKU-1" });
        let mut command = Command::new(tools.join("venv/bin/schemathesis"));
        command
            .arg("--config-file")
            .arg(here("tests/contract/schemathesis.toml"))
            .arg("run")
            .arg(here("../../schemas/openapi.json"))
            .args(["--url", &url, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "8"])
            // A stream has no end, and metrics are on the other listener.
            .args(["--exclude-path", "/v1/availability/stream", "--exclude-path", "/metrics"])
            // It keeps what it found before, and a run is to be the same again.
            .current_dir(directory.path())
            .env("STOCKADE_CONTRACT_KEYS", keys.to_string())
            .env("STOCKADE_CONTRACT_KNOWN", known.to_string())
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", here("tests/contract"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let said = run(command);
        let cases = said.lines().find_map(|line| {
            line.trim().strip_suffix(" skipped").or(Some(line.trim())).and_then(|line| {
                let (cases, rest) = line.split_once(" generated")?;
                rest.contains("passed").then(|| cases.parse::<u32>().ok()).flatten()
            })
        });
        println!("{said}");
        assert!(cases.is_some_and(|cases| cases >= 2_000), "too few cases: {said}");
        assert_eq!(server.call("GET", "/readyz", "", "").0, 200, "it is well after all that");
    }

    #[test]
    fn the_documents_are_what_their_specifications_ask_for() {
        let Some(tools) = tools() else { return };
        let specs = tools.join("node_modules/@asyncapi/specs/schemas");
        let mut command = Command::new(tools.join("venv/bin/python"));
        command.arg(here("tests/contract/validate.py")).arg(here("../../schemas")).arg(&specs);
        let said = run(command);
        let asyncapi = if specs.is_dir() { "asyncapi.json is valid" } else { "asyncapi.json was not held" };
        assert!(said.starts_with(&format!("openapi.json is valid\n{asyncapi}")), "{said}");
    }

    /// What each example client tells of its day.
    const TOLD: &str = "stocked 12\nlisted 3\noffered 3 499\nwatched 10\nreserved confirmed\nbasket confirmed 0 2\ntold accepted\nrefused not_available\n";

    fn with_keys(mut command: Command, World { server, keys, .. }: &World) -> Command {
        command.arg(format!("http://{}", server.api));
        command.args(["supplier", "buyer", "order-system"].map(|role| keys[role].as_str().unwrap()));
        command
    }

    #[test]
    fn the_example_client_in_python_has_its_day() {
        let Some(tools) = tools() else { return };
        let mut command = Command::new(tools.join("venv/bin/python"));
        command.arg(here("../../schemas/clients/python/example.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        assert_eq!(run(with_keys(command, &world())), TOLD);
    }

    #[test]
    fn the_example_client_waits_asks_again_and_shows_what_was_refused_meanwhile() {
        let Some(tools) = tools() else { return };
        let mut command = Command::new(tools.join("venv/bin/python"));
        command
            .arg(here("tests/contract/client_waits.py"))
            .arg(here("../../schemas/clients/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        assert_eq!(run(command), "refused later\ntaken later\nsent again\nrefused by another\n");
    }

    #[test]
    fn the_example_client_in_typescript_has_its_day() {
        let Some(tools) = tools() else { return };
        let compiler = tools.join("node_modules/typescript/lib/tsc.js");
        if !compiler.is_file() {
            println!("SKIPPED: there is no compiler of TypeScript, because npm is missing");
            return;
        }
        let out = tempfile::tempdir().unwrap();
        let mut command = Command::new("node");
        command
            .arg(compiler)
            .arg("-p")
            .arg(here("../../schemas/clients/typescript"))
            .arg("--outDir")
            .arg(out.path());
        run(command);
        std::fs::write(out.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
        let mut command = Command::new("node");
        command.arg(out.path().join("example.js"));
        assert_eq!(run(with_keys(command, &world())), TOLD);
    }
}
