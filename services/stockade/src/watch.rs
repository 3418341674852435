//! `stockade watch`: what buyers may have of some goods, and what becomes of it, line by line.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stockade_model::{Currency, Money};
use stockade_runtime::http::path_segment;

use crate::{
    client::Answer,
    output::{count, say},
    server_url::ServerUrl,
};

/// Watch what buyers may have of some goods.
#[derive(clap::Args)]
pub struct Args {
    /// Address of the API: host:port, or a URL without a path such as https://stockade.example.
    #[arg(long, default_value = "127.0.0.1:7400")]
    server: ServerUrl,
    /// The key of a buyer, or of staff; better given by the environment than on the command line.
    #[arg(long, env = "STOCKADE_KEY", hide_env_values = true)]
    key: String,
    /// A good by its SKU; give it again for each further one.
    #[arg(long)]
    sku: Vec<String>,
    /// A good by its GTIN; give it again for each further one.
    #[arg(long)]
    gtin: Vec<String>,
    /// Region the buyer is in, such as DE or US-CA.
    #[arg(long)]
    region: Option<String>,
    /// Offers looked at of each good, the cheapest first.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// End after so many lines; goes on until Ctrl-C when absent.
    #[arg(long)]
    count: Option<u64>,
    /// Print what the server says of each good as one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Before a connection is tried again that could not be made or was lost.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches until it is told to end.
pub fn run(args: &Args) -> Result<()> {
    anyhow::ensure!(
        !(args.sku.is_empty() && args.gtin.is_empty()),
        "name what to watch: --sku or --gtin, once for each good"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut watching = Watching { args, last: String::new(), told: 0 };
        tokio::select! {
            ended = watching.until_enough() => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

/// Why a connection ended.
enum Ended {
    /// As much was told as was asked for.
    Enough,
    /// The server ended it, or it was lost: it is gone on with.
    Lost(String),
}

struct Watching<'a> {
    args: &'a Args,
    /// The id of the last event: where to go on.
    last: String,
    told: u64,
}

impl Watching<'_> {
    async fn until_enough(&mut self) -> Result<()> {
        loop {
            match self.listen().await? {
                Ended::Enough => return Ok(()),
                Ended::Lost(why) => {
                    crate::output::complain(format_args!("{why}; trying again, nothing is missed"));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn path(&self) -> String {
        let args = self.args;
        let skus = args.sku.iter().map(|sku| ("sku", sku.clone()));
        let gtins = args.gtin.iter().map(|gtin| ("gtin", gtin.clone()));
        let region = args.region.iter().map(|region| ("region", region.clone()));
        let all = skus.chain(gtins).chain(region).chain([("limit", args.limit.to_string())]);
        let pairs: Vec<String> =
            all.map(|(name, value)| format!("{name}={}", path_segment(&value))).collect();
        format!("/v1/availability/stream?{}", pairs.join("&"))
    }

    /// One connection. What the server refuses is an error; what gets lost is not.
    async fn listen(&mut self) -> Result<Ended> {
        let Args { server, key, .. } = self.args;
        let lost = |why: &str| Ok(Ended::Lost(format!("{server}: {why}")));
        let way = server.find()?;
        let stream = match way.connect().await {
            Ok(stream) => stream,
            // Who is not the server will not be it a little later.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(error).with_context(|| format!("no TLS with {server}"));
            }
            Err(_) => return lost("no answer; is it serving?"),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::get(self.path())
            .header("host", &way.host)
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {key}"));
        if !self.last.is_empty() {
            request = request.header("last-event-id", &self.last);
        }
        let Ok(answer) = sender.send_request(request.body(Empty::<Bytes>::new())?).await else {
            return lost("the connection was lost");
        };
        let (head, mut body) = answer.into_parts();
        if head.status != StatusCode::OK {
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let refusal = Answer { status: head.status, headers: head.headers, body }.refusal();
            // Busy or starting passes; anything else would be said again.
            return if head.status.is_server_error() { lost(&refusal.to_string()) } else { Err(refusal) };
        }
        let mut events = Events::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return lost("the connection was lost") };
            let Some(data) = frame.data_ref() else { continue };
            for event in events.push(data)? {
                self.last = event.id;
                if event.name != "good" {
                    continue;
                }
                self.say(&event.data)?;
                self.told += 1;
                if self.args.count.is_some_and(|count| self.told >= count) {
                    return Ok(Ended::Enough);
                }
            }
        }
        lost("the server ended the stream")
    }

    fn say(&self, data: &str) -> Result<()> {
        if self.args.json {
            say!("{data}");
            return Ok(());
        }
        let good: Value = serde_json::from_str(data).context("the server said something that is not JSON")?;
        say!("{}", line(&good));
        Ok(())
    }
}

/// What is said of a good: when, which, how many units of how many offers, and the first of them.
fn line(good: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = if good["sku"].is_null() { text(&good["gtin"]) } else { text(&good["sku"]) };
    let offers = good["offers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let units: i64 = offers.iter().filter_map(|offer| offer["available"].as_i64()).sum();
    let more = if good["more"] == true { " or more" } else { "" };
    let first = offers.first().map(|offer| {
        let currency = Currency::new(&text(&offer["price"]["currency"])).ok();
        let money = currency.zip(offer["price"]["minor"].as_i64());
        let price = money.map(|(currency, minor)| Money { minor, currency }.to_string()).unwrap_or_default();
        format!(", first {price} by {}", text(&offer["supplier"]))
    });
    let offered = if offers.len() == 1 { "offer" } else { "offers" };
    let units = count(units.unsigned_abs(), "unit", "units");
    let first = first.unwrap_or_default();
    format!("{}  {name}  {units} of {}{more} {offered}{first}", text(&good["as_of"]), offers.len())
}

/// A server-sent event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

/// Puts events together from whatever pieces they arrive in.
#[derive(Default)]
struct Events {
    unread: Vec<u8>,
    last_id: String,
}

impl Events {
    fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>> {
        self.unread.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let whole: Vec<u8> = self.unread.drain(..end + 2).collect();
            let text = std::str::from_utf8(&whole).context("the server said something that is not UTF-8")?;
            let mut event = Event { id: self.last_id.clone(), ..Event::default() };
            for field in text.lines() {
                let (name, value) = field.split_once(':').unwrap_or((field, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match name {
                    "event" => event.name = value.to_owned(),
                    "id" => event.id = value.to_owned(),
                    "data" if event.data.is_empty() => event.data = value.to_owned(),
                    "data" => event.data = format!("{}\n{value}", event.data),
                    // Comments keep the connection alive; how long to wait is known.
                    _ => {}
                }
            }
            self.last_id.clone_from(&event.id);
            if !event.data.is_empty() {
                events.push(event);
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_the_same_in_whatever_pieces_they_come() {
        let text = "retry: 2000\n\n: still here\n\nevent: good\nid: a.1\ndata: {\"sku\":\"ü\"}\n\nevent: live\nid: a.2\ndata: {}\n\ndata: x\ndata: y\n\n";
        let whole = Events::default().push(text.as_bytes()).unwrap();
        let event = |name: &str, id: &str, data: &str| Event {
            name: name.to_owned(),
            id: id.to_owned(),
            data: data.to_owned(),
        };
        let expected = [
            event("good", "a.1", "{\"sku\":\"ü\"}"),
            event("live", "a.2", "{}"),
            // An event without an id leaves the one before it in force.
            event("", "a.2", "x\ny"),
        ];
        assert_eq!(whole, expected);
        for size in 1..text.len() {
            let (mut events, mut all) = (Events::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                all.extend(events.push(piece).unwrap());
            }
            assert_eq!(all, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_says_when_what_and_how_much() {
        let offer = |minor: i64, available: i64| json!({ "supplier": "acme", "available": available, "price": { "minor": minor, "currency": "EUR" } });
        let good = |offers: Value, more: bool| json!({ "as_of": "2026-11-26T10:00:00Z", "sku": "SKU 1", "gtin": null, "offers": offers, "more": more });
        let said = line(&good(json!([offer(1_999, 3), offer(2_500, 4)]), true));
        assert!(
            said.starts_with("2026-11-26T10:00:00Z  SKU 1  7 units of 2 or more offers, first "),
            "{said}"
        );
        assert!(said.contains("19.99") && said.ends_with("by acme"), "{said}");
        assert_eq!(line(&good(json!([]), false)), "2026-11-26T10:00:00Z  SKU 1  0 units of 0 offers");
    }
}
