//! GS1 EPCIS 2.0 in JSON, as rows: object events that observe a count. Events are read one at a time, however many there are.

use std::{fmt, io::Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use stockade_model::gs1::check_digit;

use crate::finding::{Finding, codes};

/// The columns that rows of it have.
pub(crate) const COLUMNS: [&str; 3] = ["gtin", "quantity", "location"];

/// Business steps that say how much there is.
const COUNTS: [&str; 3] = ["cycle_counting", "stock_taking", "inventory_check"];

/// What is found on the way.
pub(crate) enum Step {
    /// A row: its event's number and its cells by [`COLUMNS`].
    Row(u64, [String; 3]),
    /// Something that is not taken.
    Wrong(Finding),
}

type Sink<'s> = &'s mut dyn FnMut(Step) -> bool;

/// Gives each row to `sink` until that says to stop.
pub(crate) fn each(stream: impl Read, sink: Sink<'_>) -> Result<(), std::io::Error> {
    let mut state = State { sink, event: 0, stopped: false, found: false };
    let mut reader =
        serde_json::Deserializer::from_reader(std::io::BufReader::with_capacity(64 << 10, stream));
    let read = Document(&mut state).deserialize(&mut reader);
    match read {
        Ok(()) if !state.found => {
            let detail = "there is no eventList in it; send an EPCISDocument of EPCIS 2.0";
            (state.sink)(Step::Wrong(Finding::of_file(codes::NOT_INVENTORY, detail)));
            Ok(())
        }
        Ok(()) => Ok(()),
        Err(_) if state.stopped => Ok(()),
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => {
            let detail = format!(
                "the JSON ends or breaks after event {} (line {}, column {}); events before that were read, send the file again",
                state.event,
                error.line(),
                error.column()
            );
            let code = if error.is_eof() { codes::TRUNCATED } else { codes::NOT_JSON };
            (state.sink)(Step::Wrong(Finding { line: state.event, ..Finding::of_file(code, detail) }));
            Ok(())
        }
    }
}

struct State<'s> {
    sink: Sink<'s>,
    event: u64,
    stopped: bool,
    found: bool,
}

/// An object, down to `eventList`, wherever that is.
struct Document<'a, 's>(&'a mut State<'s>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an EPCIS document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "eventList" => map.next_value_seed(Events(self.0))?,
                "epcisBody" | "queryResults" | "resultsBody" => map.next_value_seed(Document(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Events<'a, 's>(&'a mut State<'s>);

impl<'de> DeserializeSeed<'de> for Events<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<(), A::Error> {
        self.0.found = true;
        while let Some(event) = events.next_element::<Value>()? {
            self.0.event += 1;
            if !rows(self.0.event, &event, self.0.sink) {
                self.0.stopped = true;
                return Err(A::Error::custom("enough was read"));
            }
        }
        Ok(())
    }
}

fn rows(number: u64, event: &Value, sink: Sink<'_>) -> bool {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let step = text("bizStep").rsplit([':', '/', '-']).next().unwrap_or_default();
    if text("type") != "ObjectEvent" || text("action") != "OBSERVE" || !COUNTS.contains(&step) {
        let what = format!("{} {} {step}", text("type"), text("action"));
        let detail = "only object events that observe a count say how much there is (action OBSERVE, bizStep cycle_counting, stock_taking or inventory_check); this one was passed over";
        return sink(Step::Wrong(Finding::refused(
            number,
            "bizStep",
            what.trim(),
            codes::NOT_A_COUNT,
            detail,
        )));
    }
    let place = [&event["bizLocation"]["id"], &event["readPoint"]["id"]].into_iter().find_map(Value::as_str);
    let location = place.map(location).unwrap_or_default();
    for counted in event["quantityList"].as_array().into_iter().flatten() {
        let quantity = match &counted["quantity"] {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            // A class without a quantity says that some were seen, not how many.
            _ => String::new(),
        };
        if !row(number, counted["epcClass"].as_str().unwrap_or_default(), quantity, &location, sink) {
            return false;
        }
    }
    let mut singles = std::collections::BTreeMap::<String, u64>::new();
    for epc in event["epcList"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        *singles.entry(gtin(epc).unwrap_or_else(|| epc.to_owned())).or_default() += 1;
    }
    singles.into_iter().all(|(class, count)| row(number, &class, count.to_string(), &location, sink))
}

fn row(number: u64, class: &str, quantity: String, location: &str, sink: Sink<'_>) -> bool {
    let plain = |text: &str| text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit());
    let found = if plain(class) { Some(class.to_owned()) } else { gtin(class) };
    match found {
        Some(gtin) => sink(Step::Row(number, [gtin, quantity, location.to_owned()])),
        None => {
            let detail = "no GTIN is in this class; use urn:epc:class:lgtin, urn:epc:idpat:sgtin, urn:epc:id:sgtin or a GS1 Digital Link";
            sink(Step::Wrong(Finding::refused(number, "epcClass", class, codes::NOT_INVENTORY, detail)))
        }
    }
}

/// The GTIN-14 of an EPC URI or a GS1 Digital Link.
fn gtin(epc: &str) -> Option<String> {
    if let Some((_, rest)) = epc.split_once("/01/") {
        let digits = rest.split('/').next()?;
        return (digits.len() <= 14 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| format!("{digits:0>14}"));
    }
    let rest = ["urn:epc:class:lgtin:", "urn:epc:idpat:sgtin:", "urn:epc:id:sgtin:"]
        .iter()
        .find_map(|kind| epc.strip_prefix(kind))?;
    let mut parts = rest.split('.');
    let (company, item) = (parts.next()?, parts.next()?);
    let body = format!("{}{company}{}", item.get(..1)?, item.get(1..)?);
    (body.len() == 13 && body.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("{body}{}", check_digit(&body)))
}

/// The GLN of a place, or the last part of its name.
fn location(id: &str) -> String {
    if let Some(rest) = id.strip_prefix("urn:epc:id:sgln:") {
        let mut parts = rest.split('.');
        let body = format!("{}{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if body.len() == 12 && body.bytes().all(|byte| byte.is_ascii_digit()) {
            return format!("{body}{}", check_digit(&body));
        }
    }
    if let Some((_, rest)) = id.split_once("/414/") {
        return rest.split('/').next().unwrap_or_default().to_owned();
    }
    id.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(u64, [String; 3])>, Vec<String>) {
        let (mut rows, mut wrong) = (Vec::new(), Vec::new());
        let mut sink = |step| {
            match step {
                Step::Row(event, cells) => rows.push((event, cells)),
                Step::Wrong(finding) => wrong.push(finding.code),
            }
            true
        };
        each(text.as_bytes(), &mut sink).unwrap();
        (rows, wrong)
    }

    const DOCUMENT: &str = r#"{"@context": [], "type": "EPCISDocument", "schemaVersion": "2.0", "epcisBody": {"eventList": [
        {"type": "ObjectEvent", "action": "OBSERVE", "bizStep": "cycle_counting",
         "bizLocation": {"id": "urn:epc:id:sgln:4012345.00001.0"},
         "quantityList": [{"epcClass": "urn:epc:class:lgtin:4012345.012345.998877", "quantity": 200},
                          {"epcClass": "https://id.gs1.org/01/09521141123454/10/L1", "quantity": 3}],
         "epcList": ["urn:epc:id:sgtin:4012345.011122.25", "urn:epc:id:sgtin:4012345.011122.26"]},
        {"type": "ObjectEvent", "action": "OBSERVE", "bizStep": "shipping"},
        {"type": "ObjectEvent", "action": "OBSERVE", "bizStep": "urn:epcglobal:cbv:bizstep:stock_taking",
         "quantityList": [{"epcClass": "urn:epc:class:lgtin:bad", "quantity": 1}]}]}}"#;

    #[test]
    fn counts_are_read_and_other_events_are_passed_over_by_name() {
        let (rows, wrong) = read(DOCUMENT);
        let expected = [("04012345123456", "200"), ("09521141123454", "3"), ("04012345111224", "2")];
        let found: Vec<_> =
            rows.iter().map(|(_, [gtin, quantity, _])| (gtin.as_str(), quantity.as_str())).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        for (at, (gtin, quantity)) in expected.into_iter().enumerate() {
            assert_eq!((&found[at].0[..13], found[at].1), (&gtin[..13], quantity));
        }
        assert_eq!(rows[0].1[2].len(), 13);
        assert_eq!(wrong, [codes::NOT_A_COUNT, codes::NOT_INVENTORY]);
    }

    #[test]
    fn a_document_that_breaks_off_gives_what_came_before() {
        let (rows, wrong) = read(&DOCUMENT[..DOCUMENT.find("shipping").unwrap()]);
        assert_eq!((rows.len(), wrong.as_slice()), (3, &[codes::TRUNCATED.to_owned()][..]));
        assert_eq!(read("{\"a\":1}").1, [codes::NOT_INVENTORY]);
    }
}
