//! `stockade push`: uploads an inventory file and follows it.
//!
//! The key of the upload is kept beside the user's other state until the import has ended, so that whatever breaks off, the
//! same command goes on with the same import. It is made anew for each push: the same file sent next week is another import.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request,
    body::{Body, Frame, SizeHint},
};
use hyper_util::rt::TokioIo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use sha2::Digest as _;
use stockade_runtime::http::path_segment;

use crate::{
    client::{Answer, Client},
    map::{self, Reading},
    output::{self, say},
    server_url::{ServerUrl, Way},
};

/// Arguments.
#[derive(clap::Args)]
pub struct Args {
    /// The file: CSV, TSV, NDJSON, X12 846 or EPCIS 2.0; plain, gzip or zip.
    file: PathBuf,
    /// Whose inventory it is.
    #[arg(long, env = "STOCKADE_SUPPLIER")]
    supplier: String,
    /// Address of the API: host:port, or a URL without a path such as https://stockade.example.
    #[arg(long, default_value = "127.0.0.1:7400")]
    server: ServerUrl,
    /// The supplier's key; best given by the environment.
    #[arg(long, env = "STOCKADE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// A file that holds the key.
    #[arg(long, conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// How the file is read.
    #[command(flatten)]
    reading: Reading,
    /// The file names all there is: what it does not name goes to zero.
    #[arg(long)]
    snapshot: bool,
    /// With --snapshot: what the file does not name is withdrawn rather than set to zero.
    #[arg(long, requires = "snapshot")]
    withdraw: bool,
    /// Rows that the file has; another number is refused before anything is applied.
    #[arg(long)]
    rows: Option<u64>,
    /// Confirm a snapshot that would take many listings off the market.
    #[arg(long)]
    confirm: bool,
    /// Do not wait until it is applied.
    #[arg(long)]
    no_wait: bool,
    /// Write the report of refused rows to this file.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// How often an upload is tried.
const TRIES: u32 = 8;
/// The first pause between two tries; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is asked how far an import is.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Lines of a report that are shown.
const SHOWN: usize = 10;

/// What the exit code says, for scripts.
pub const EXIT_CODES: &str = "Exit codes: 0 all rows were taken (with --no-wait: the file was); 1 it failed, was cancelled or waits for --confirm; \
    2 wrong arguments; 3 it ended, but rows were refused or the file broke off.";
/// It ended, and not all that the file says was taken.
const NOT_ALL: u8 = 3;

/// What is remembered of a push that has not ended.
#[derive(serde::Serialize, serde::Deserialize)]
struct Begun {
    key: String,
    sha256: String,
    query: String,
    import: Option<String>,
}

/// Runs the command; answers its exit code.
pub fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(push(args))
}

async fn push(args: &Args) -> Result<ExitCode> {
    let key = match (&args.key, &args.key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .trim()
            .to_owned(),
        (None, None) => {
            bail!("no key: set STOCKADE_KEY to the supplier's key, or name a file with --key-file")
        }
    };
    let bytes =
        std::fs::metadata(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?.len();
    let sha256 = hash(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let query = query(args)?;
    let note = note_path(args);
    let mut begun = match note.as_deref().and_then(read_note) {
        Some(begun) if begun.sha256 == sha256 && begun.query == query => {
            output::complain(format_args!(
                "this file was pushed before and has not ended: it goes on where it was"
            ));
            begun
        }
        _ => Begun { key: fresh_key(), sha256, query, import: None },
    };
    keep_note(note.as_deref(), &begun);
    let base = format!("/v1/suppliers/{}/imports", path_segment(&args.supplier));
    let server = args.server.find()?;
    let asker = Asker { client: Client::new(server.clone()), key: &key };

    let known = match &begun.import {
        Some(import) => asker.get(&format!("{base}/{import}")).await.ok().map(|told| (import.clone(), told)),
        None => None,
    };
    let (import, told) = match known {
        Some(known) => known,
        None => {
            let path = format!("{base}{}", begun.query);
            let told = upload(args, &server, &path, (&key, &begun.key), bytes).await?;
            let import =
                told["import"].as_str().context("the answer names no import; is this the API?")?.to_owned();
            begun.import = Some(import.clone());
            keep_note(note.as_deref(), &begun);
            (import, told)
        }
    };
    say!("import {import}: {}", told["state"].as_str().unwrap_or_default());
    if args.no_wait {
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("{base}/{import}");
    let told = follow(args, &asker, &path).await?;
    forget_note(note.as_deref());
    finish(args, &asker, &path, &told).await
}

/// Sends the file until it is taken on, with the same key.
async fn upload(args: &Args, server: &Way, path: &str, keys: (&str, &str), bytes: u64) -> Result<Value> {
    let bar = bar(bytes, "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_message("uploading");
    let mut pause = PAUSE;
    for tried in 1..=TRIES {
        bar.set_position(0);
        let sent = send(args, server, path, keys, (bytes, bar.clone())).await;
        let (why, wait) = match sent {
            Ok(answer) if answer.status.is_success() => {
                bar.finish_and_clear();
                return answer.json();
            }
            // It was not its fault; the same again may do.
            Ok(answer) if matches!(answer.status.as_u16(), 408 | 429 | 500..) => {
                let wait = answer
                    .header("retry-after")
                    .and_then(|seconds| seconds.parse().ok())
                    .map(Duration::from_secs);
                (answer.refusal(), wait)
            }
            Ok(answer) => {
                bar.finish_and_clear();
                return Err(answer.refusal());
            }
            Err(error) => (error, None),
        };
        if tried == TRIES {
            bar.finish_and_clear();
            return Err(why.context(format!(
                "{} was not taken after {TRIES} tries; the same command goes on",
                args.file.display()
            )));
        }
        let wait = wait.unwrap_or(pause).min(PAUSE_MAX);
        bar.suspend(|| output::complain(format_args!("{why:#}; once more in {} ms", wait.as_millis())));
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    bail!("the file was not taken")
}

async fn send(
    args: &Args,
    server: &Way,
    path: &str,
    (key, idempotency): (&str, &str),
    (bytes, bar): (u64, ProgressBar),
) -> Result<Answer> {
    let no_answer = || format!("no answer from {}; is it serving?", args.server);
    let stream = server.connect().await.with_context(no_answer)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", &server.host)
        .header("content-type", media_type(&args.file))
        .header("content-length", bytes)
        .header("authorization", format!("Bearer {key}"))
        .header("idempotency-key", idempotency)
        .body(Sending { file: File::open(&args.file)?, left: bytes, bar })?;
    let response = sender.send_request(request).await.with_context(no_answer)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.with_context(no_answer)?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// A file as a body, a piece at a time.
struct Sending {
    file: File,
    left: u64,
    bar: ProgressBar,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let most = self.left.min(64 << 10) as usize;
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; most];
        Poll::Ready(match self.file.read(&mut piece) {
            Ok(0) => Some(Err(io::Error::other("the file became shorter while it was sent"))),
            Ok(read) => {
                piece.truncate(read);
                self.left -= read as u64;
                self.bar.inc(read as u64);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Asks until the import has ended, or waits for somebody.
async fn follow(args: &Args, asker: &Asker<'_>, path: &str) -> Result<Value> {
    let bar = bar(0, "{msg} {bar:30} {pos}/{len} rows {prefix}");
    let mut failures = 0;
    loop {
        let told = match asker.get(path).await {
            Ok(told) => told,
            // A server that is started anew goes on with the import.
            Err(error) if failures < TRIES => {
                failures += 1;
                bar.set_message(format!("{error:#}"));
                tokio::time::sleep(PAUSE * failures).await;
                continue;
            }
            Err(error) => return Err(error.context("the same command goes on with the import")),
        };
        failures = 0;
        let state = told["state"].as_str().unwrap_or_default().to_owned();
        let figure = |name: &str| told["rows"][name].as_u64().unwrap_or_default();
        bar.set_message(if state == "received" {
            format!("reading, {} so far", figure("read"))
        } else {
            state.clone()
        });
        bar.set_length(figure("to_apply"));
        bar.set_position(figure("done"));
        if let Some(seconds) = told["estimate_seconds"].as_u64() {
            bar.set_prefix(format!("about {seconds} s to go"));
        }
        match state.as_str() {
            "needs_confirmation" if args.confirm => {
                asker.post(&format!("{path}/confirm")).await?;
            }
            "needs_confirmation" => {
                bar.finish_and_clear();
                let missing = |name: &str| told["missing"][name].as_u64().unwrap_or_default();
                bail!(
                    "the file does not name {} of {} listings on the market, which would go off it; nothing was applied yet. \
                     If that is meant, add --confirm; if not, send the whole file (cancel this one with POST {path}/cancel)",
                    missing("listings"),
                    missing("of")
                );
            }
            "done" | "failed" | "cancelled" => {
                bar.finish_and_clear();
                return Ok(told);
            }
            _ => {}
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Says what became of it.
async fn finish(args: &Args, asker: &Asker<'_>, path: &str, told: &Value) -> Result<ExitCode> {
    if told["rows"]["read"].as_u64() > Some(0) {
        map::figures(told);
    }
    let figure = |name: &str| told["rows"][name].as_u64().unwrap_or_default();
    if figure("refused") + figure("warned") > 0 {
        let report = asker.text(&format!("{path}/report")).await?;
        if let Some(file) = &args.report {
            std::fs::write(file, &report).with_context(|| format!("cannot write {}", file.display()))?;
            say!("the report is in {}", file.display());
        } else {
            say!("\nrefused or warned of (--report FILE keeps all of it):");
            report.lines().take(SHOWN + 1).for_each(|line| say!("  {line}"));
        }
    }
    match told["state"].as_str() {
        Some("failed") => bail!("{}", map::problem(&told["problem"])),
        Some("cancelled") => bail!("the import was cancelled; what was applied until then stays"),
        _ if told["problem"].is_object() => {
            output::complain(format_args!("warning: {}", map::problem(&told["problem"])));
            Ok(ExitCode::from(NOT_ALL))
        }
        _ if figure("refused") > 0 => Ok(ExitCode::from(NOT_ALL)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Asks about imports.
struct Asker<'k> {
    client: Client,
    key: &'k str,
}

impl Asker<'_> {
    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path).await?.json()
    }
    async fn post(&self, path: &str) -> Result<Value> {
        self.ask(Method::POST, path).await?.json()
    }
    async fn text(&self, path: &str) -> Result<String> {
        let answer = self.ask(Method::GET, path).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
    async fn ask(&self, method: Method, path: &str) -> Result<Answer> {
        let answer = self
            .client
            .send(method, path, self.key, Bytes::new())
            .await
            .context("no answer; is it serving?")?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal()) }
    }
}

/// A bar on a terminal; elsewhere nothing is drawn.
fn bar(length: u64, form: &str) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}

fn query(args: &Args) -> Result<String> {
    let mut parts = vec![format!("mode={}", if args.snapshot { "snapshot" } else { "upsert" })];
    if args.withdraw {
        parts.push("missing=withdraw".to_owned());
    }
    let mut add = |name: &str, value: Option<&String>| {
        parts.extend(value.map(|value| format!("{name}={}", path_segment(value))));
    };
    add("mapping", args.reading.mapping()?.as_ref());
    add("format", args.reading.format.as_ref());
    add("encoding", args.reading.encoding.as_ref());
    add("rows", args.rows.map(|rows| rows.to_string()).as_ref());
    Ok(format!("?{}", parts.join("&")))
}

fn media_type(file: &Path) -> &'static str {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("csv") => "text/csv",
        Some("tsv" | "tab") => "text/tab-separated-values",
        Some("ndjson" | "jsonl") => "application/x-ndjson",
        Some("json") => "application/json",
        Some("gz") => "application/gzip",
        Some("zip") => "application/zip",
        Some("x12" | "edi") => "application/edi-x12",
        _ => "application/octet-stream",
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, sha2::Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(stockade_model::hash::hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

/// A key that nobody has used: of the time, this process, and chance.
fn fresh_key() -> String {
    let now = crate::platform::instance_name(stockade_runtime::clock::now_ms());
    format!("push-{now}-{:016x}", fastrand::u64(..))
}

/// Where a push that has not ended is noted; none where there is no home.
fn note_path(args: &Args) -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let root = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(home)?;
    let file = std::fs::canonicalize(&args.file).ok()?;
    let parts = [args.server.to_string(), args.supplier.clone(), file.display().to_string()];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let name = stockade_model::hash::identity128(&parts);
    Some(root.join("stockade/push").join(format!("{name:032x}.json")))
}

fn read_note(path: &Path) -> Option<Begun> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn keep_note(path: Option<&Path>, begun: &Begun) {
    let kept = path.map(|path| {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, serde_json::to_vec(begun)?)
    });
    if !matches!(kept, Some(Ok(()))) {
        output::complain(format_args!(
            "note: this push cannot be noted in your home, so if it breaks off the next one begins anew; that is safe, only slower"
        ));
    }
}

fn forget_note(path: Option<&Path>) {
    if let Some(path) = path {
        // It may never have been there.
        let _ = std::fs::remove_file(path);
    }
}
