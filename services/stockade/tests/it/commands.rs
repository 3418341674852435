//! The command line as people use it: what it prints, where it says a mistake is, what it takes.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn stockade(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(args);
    command
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn sample(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    path.display().to_string()
}

/// A rule that binds a window of its own.
const BOUND: &str = "rules:
  - id: spree
    title: Cancels one order after the other
    when: >
      cancellations.count(\"37h\") >= 2
      && wilson_lower(cancellations, \"37h\") > 0.05
    floor: attested
    level: quarantine
    for: 7d
    reasons: [DEFECT_RATE]
    evidence: cancellations.count(\"37h\")
    mode: live
";

#[test]
fn a_reader_that_stops_reading_is_no_failure_of_any_command() {
    let directory = tempfile::tempdir().unwrap();
    let rules = written(directory.path(), "rules.yaml", BOUND);
    let wrong = written(directory.path(), "wrong.yaml", "rules: nothing");
    let data = directory.path().join("keys").display().to_string();
    for (args, succeeds) in [
        (vec!["rules", "features"], true),
        (vec!["rules", "starter"], true),
        (vec!["rules", "check", &rules], true),
        (vec!["rules", "test", &rules], true),
        (vec!["rules", "diff", &rules, &rules], true),
        (vec!["rules", "check", &wrong], false),
        (vec!["keys", "create", "--role", "buyer", "--name", "b", "--data", &data], true),
        (vec!["--help"], true),
    ] {
        // Nobody holds the other end from before the command starts, so its first word meets a broken pipe.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (errors_reader, errors) = std::io::pipe().unwrap();
        drop(errors_reader);
        let status = stockade(&args).stdout(writer).stderr(errors).status().unwrap();
        assert_eq!(status.success(), succeeds, "{args:?}: {status}");
        // 101 is what a panic ends with.
        assert_ne!(status.code(), Some(101), "{args:?}");
    }
}

#[test]
fn rules_check_names_the_line_of_the_file_and_warns_of_what_is_hardly_meant() {
    let directory = tempfile::tempdir().unwrap();
    let wrong =
        written(directory.path(), "wrong.yaml", &BOUND.replace("&& wilson_lower(", "&& wilson_lowr("));
    let output = stockade(&["rules", "check", &wrong]).output().unwrap();
    let (_, errors) = said(&output);
    assert!(!output.status.success());
    assert!(errors.contains("wrong.yaml:6:10: rule spree, line 2, column 4"), "{errors}");
    assert!(errors.contains("did you mean"), "{errors}");

    let percent = written(directory.path(), "percent.yaml", &BOUND.replace("> 0.05", "> 5"));
    let output = stockade(&["rules", "check", &percent]).output().unwrap();
    let (out, warnings) = said(&output);
    assert!(output.status.success() && out.contains("1 rule, 1 warning,"), "{out}");
    assert!(warnings.contains("percent.yaml:6:10: warning (never_holds)"), "{warnings}");
    assert!(warnings.contains("0.05"), "{warnings}");

    for (from, to, code) in [
        ("mode: live", "mode: live\n    expires: 2020-01-01T00:00:00Z", "has passed"),
        (">= 2", ">= 2 && cancellations.count(\"37h\") < 2", "contradicts itself"),
        ("level: quarantine", "level: [quarantine]", "is expected here"),
        (
            "    floor: attested\n",
            "",
            "refused.yaml:7:12: rule spree, line 1, column 1: withholds without a bound on false alarms",
        ),
        ("cancellations", "disputes", "reads what people say"),
        ("cancellations", "new_listings", "reads no attested outcome"),
    ] {
        let file = written(directory.path(), "refused.yaml", &BOUND.replace(from, to));
        let output = stockade(&["rules", "check", &file]).output().unwrap();
        let (_, errors) = said(&output);
        assert!(!output.status.success() && errors.contains(code), "{to}: {errors}");
        assert!(!errors.contains("Spec") && !errors.contains("enum"), "{errors}");
    }
}

#[test]
fn replay_and_evaluate_take_rules_that_bind_windows_of_their_own_and_print_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let rules = written(directory.path(), "rules.yaml", BOUND);
    let (input, mapping) = (sample("samples/orders.csv"), sample("mappings/sample.yaml"));
    let truth = sample("samples/compromised.csv");
    let history = ["--input", &input, "--mapping", &mapping, "--rules", &rules];
    for (command, more) in [("replay", vec![]), ("evaluate", vec!["--truth", &truth])] {
        let output = stockade(&[&[command], &history[..], &more[..]].concat()).output().unwrap();
        let (out, errors) = said(&output);
        assert!(output.status.success(), "{command}: {errors}");
        assert!(!out.contains(['{', '}', '"']), "{command} prints fragments of JSON:\n{out}");
        let json = stockade(&[&[command], &history[..], &more[..], &["--json"]].concat()).output().unwrap();
        let last = String::from_utf8(json.stdout).unwrap().lines().last().unwrap().to_owned();
        let report: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert!(report.is_object(), "{command}: {last}");
    }
}

#[test]
fn a_directory_may_be_called_like_a_number_and_a_host_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        stockade(&["doctor", "--data", "2026", "--json"]).current_dir(directory.path()).output().unwrap();
    let (out, errors) = said(&output);
    assert!(output.status.success(), "{out}{errors}");
    let config = written(directory.path(), "config.yaml", "http: {listen: 'localhost:0'}\n");
    let output = stockade(&["doctor", "--config", &config, "--data", "2026"])
        .current_dir(directory.path())
        .env("STOCKADE_HTTP__ADMIN_LISTEN", "localhost:0")
        .output()
        .unwrap();
    let (out, errors) = said(&output);
    assert!(output.status.success(), "{out}{errors}");
    let output = stockade(&["doctor"]).env("STOCKADE_HTTP__LISTEN", "localhost").output().unwrap();
    let (out, _) = said(&output);
    assert!(out.contains("host:port"), "{out}");
    // A server that is not there is said to be not there, by its name.
    let output = stockade(&["rules", "show", "--server", "localhost:1", "--key", "k"]).output().unwrap();
    let (_, errors) = said(&output);
    assert!(errors.contains("localhost:1") || errors.contains("127.0.0.1:1"), "{errors}");
}

#[test]
fn undoing_a_rule_that_restricted_nobody_fails_with_the_rules_that_there_are() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let nothing = r#"{"act":"p-1","rule":"spre","released":0,"suppliers":0,"dismissed":0,"kept":0,"remaining":0,"stopped":false}"#;
    let rules = serde_json::json!({ "version": "v", "source": BOUND }).to_string();
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for body in [nothing.to_owned(), rules] {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream);
            let (mut first, mut length) = (String::new(), 0);
            std::io::BufRead::read_line(&mut reader, &mut first).unwrap();
            loop {
                let mut line = String::new();
                std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
            asked.push(first);
        }
        asked
    });
    let args = ["rules", "undo", "spre", "--since", "2h", "--reason", "why", "--server", &url, "--key", "k"];
    let output = stockade(&args).output().unwrap();
    let (_, errors) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("nothing that a rule spre restricted was found"), "{errors}");
    assert!(errors.contains("rules in force: spree; did you mean spree?"), "{errors}");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("POST /v1/rules/spre:restore "), "{asked:?}");
}

#[test]
fn who_watches_goes_on_where_a_lost_connection_left_off() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for good in
            ["event: good\nid: x.1\ndata: {\"sku\":\"a b\"}\n\n", "event: good\nid: x.2\ndata: {\"n\":2}\n\n"]
        {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            asked.push(String::from_utf8(head).unwrap());
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            stream.write_all(good.as_bytes()).unwrap();
        }
        asked
    });
    let args = ["watch", "--server", &address, "--key", "k", "--sku", "a b", "--count", "2", "--json"];
    let output = stockade(&args).output().unwrap();
    let (told, errors) = said(&output);
    assert!(output.status.success(), "{errors}");
    assert_eq!(told, "{\"sku\":\"a b\"}\n{\"n\":2}\n");
    assert!(errors.contains("nothing is missed"), "{errors}");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /v1/availability/stream?sku=a%20b&limit=50 "), "{}", asked[0]);
    assert!(!asked[0].contains("last-event-id") && asked[1].contains("last-event-id: x.1"), "{}", asked[1]);
}
