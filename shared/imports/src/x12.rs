//! ANSI X12 846, inventory inquiry/advice, as rows: each LIN loop is one.

use std::io::Read;

use crate::{
    archive::Beginning,
    finding::{Finding, codes},
    lines::{Cut, Lines},
};

/// The columns that rows of it have.
pub(crate) const COLUMNS: [&str; 6] = ["item", "gtin", "quantity", "location", "price", "currency"];

/// Length of the ISA segment, which says how everything after it is parted.
const ISA_BYTES: usize = 106;

/// Qualifiers of the seller's own number, the likeliest first.
const ITEM: [&str; 6] = ["SK", "VN", "VP", "VA", "IN", "BP"];
const GTIN: [&str; 6] = ["UK", "UP", "EN", "UI", "UA", "GT"];
/// Qualifiers of the stock that can be sold: available for sale, on hand, stock, projected, available.
const QUANTITY: [&str; 5] = ["33", "17", "20", "29", "QA"];

#[derive(Default)]
struct Item {
    line: u64,
    item: String,
    gtin: String,
    quantity: Option<(usize, String)>,
    price: String,
}

/// What is found on the way.
pub(crate) enum Step {
    /// A row: its segment's number and its cells by [`COLUMNS`].
    Row(u64, [String; 6]),
    /// Something that is not taken.
    Wrong(Finding),
}

/// Gives each row to `sink` until that says to stop.
pub(crate) fn each(
    mut stream: impl Read,
    beginning: Option<Beginning>,
    sink: &mut dyn FnMut(Step) -> bool,
) -> Result<(), std::io::Error> {
    let mut isa = Vec::with_capacity(ISA_BYTES);
    (&mut stream).take(ISA_BYTES as u64).read_to_end(&mut isa)?;
    if isa.len() < ISA_BYTES || !isa.starts_with(b"ISA") {
        sink(Step::Wrong(Finding::of_file(
            codes::NOT_INVENTORY,
            "the file does not begin with a whole ISA segment; send an X12 interchange with an 846 in it",
        )));
        return Ok(());
    }
    let (parts, end) = (char::from(isa[3]), isa[ISA_BYTES - 1]);
    let mut lines = Lines::new(stream, end, None);
    let (mut inside, mut location, mut currency) = (false, String::new(), String::new());
    let mut item: Option<Item> = None;
    while let Some(cut) = lines.next()? {
        let (line, bytes) = match cut {
            Cut::Record(line, bytes) => (line + 1, bytes),
            Cut::TooLong(line) | Cut::Unclosed(line) => {
                let detail = "this segment has no end within 64 KiB; it was passed over";
                if !sink(Step::Wrong(Finding::refused(line + 1, "", "", codes::TOO_LONG, detail))) {
                    return Ok(());
                }
                continue;
            }
        };
        // A segment that is no item costs two bytes.
        Beginning::pass(beginning, line)?;
        let text = String::from_utf8_lossy(bytes);
        let mut elements = text.trim().split(parts).map(str::trim);
        let segment = elements.next().unwrap_or_default();
        let elements: Vec<&str> = elements.collect();
        let at = |place: usize| elements.get(place - 1).copied().unwrap_or_default();
        match segment {
            "ST" => {
                inside = at(1) == "846";
                if !inside {
                    let detail = "this message is not an 846 (inventory advice); it was passed over";
                    if !sink(Step::Wrong(Finding::refused(line, "ST01", at(1), codes::NOT_INVENTORY, detail)))
                    {
                        return Ok(());
                    }
                }
            }
            _ if !inside => {}
            "CUR" => currency = at(2).to_owned(),
            "LIN" => {
                if !flush(&mut item, &location, &currency, sink) {
                    return Ok(());
                }
                item = Some(lin(line, elements.get(1..).unwrap_or_default()));
            }
            "QTY" => {
                let rank = QUANTITY.iter().position(|known| *known == at(1));
                if let (Some(item), Some(rank)) = (&mut item, rank)
                    && item.quantity.as_ref().is_none_or(|(known, _)| rank < *known)
                {
                    item.quantity = Some((rank, at(2).to_owned()));
                }
            }
            "CTP" => {
                if let Some(item) = &mut item {
                    item.price = at(3).to_owned();
                }
            }
            // Behind a LIN it is where that item lies.
            "N1" if !at(4).is_empty() => location = at(4).to_owned(),
            "CTT" | "SE" => {
                if !flush(&mut item, &location, &currency, sink) {
                    return Ok(());
                }
                (location, currency) = (String::new(), String::new());
            }
            _ => {}
        }
    }
    if item.is_some() {
        let detail =
            "the message ends without its SE segment; its last item was not taken, for it may be cut off";
        sink(Step::Wrong(Finding {
            line: item.map_or(0, |item| item.line),
            ..Finding::of_file(codes::TRUNCATED, detail)
        }));
    }
    Ok(())
}

fn lin(line: u64, pairs: &[&str]) -> Item {
    let by = |qualifiers: &[&str]| {
        let of = |wanted: &&str| pairs.chunks(2).find(|pair| pair[0] == *wanted).and_then(|pair| pair.get(1));
        qualifiers.iter().find_map(of).map_or("", |value| *value).to_owned()
    };
    let (own, gtin) = (by(&ITEM), by(&GTIN));
    let first = pairs.get(1).copied().unwrap_or_default();
    Item { line, item: if own.is_empty() { first.to_owned() } else { own }, gtin, ..Item::default() }
}

fn flush(
    item: &mut Option<Item>,
    location: &str,
    currency: &str,
    sink: &mut dyn FnMut(Step) -> bool,
) -> bool {
    let Some(Item { line, item, gtin, quantity, price }) = item.take() else { return true };
    let quantity = quantity.map(|(_, quantity)| quantity).unwrap_or_default();
    sink(Step::Row(line, [item, gtin, quantity, location.to_owned(), price, currency.to_owned()]))
}

#[cfg(test)]
pub(crate) const SAMPLE: &str = "ISA*00*          *00*          *ZZ*ACME           *ZZ*STOCKADE       *261126*1200*U*00401*000000001*0*P*>~\n\
GS*IB*ACME*STOCKADE*20261126*1200*1*X*004010~\nST*846*0001~\nBIA*00*DD*123*20261126~\nCUR*SE*EUR~\nN1*WH*Main*92*main~\n\
LIN*1*SK*A-1*UP*012345678905~\nQTY*17*9*EA~\nQTY*33*7*EA~\nCTP**UCP*12.50~\nLIN*2*SK*A-2~\nQTY*33*0*EA~\nCTT*2~\nSE*10*0001~\n\
ST*850*0002~\nLIN*1*SK*B~\nSE*2*0002~\nGE*1*1~\nIEA*1*000000001~\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_with_what_can_be_sold_of_them() {
        let (mut rows, mut wrong) = (Vec::new(), Vec::new());
        let mut sink = |step| {
            match step {
                Step::Row(line, cells) => rows.push((line, cells)),
                Step::Wrong(finding) => wrong.push(finding.code),
            }
            true
        };
        each(SAMPLE.as_bytes(), None, &mut sink).unwrap();
        assert_eq!(rows[0], (7, ["A-1", "012345678905", "7", "main", "12.50", "EUR"].map(str::to_owned)));
        assert_eq!(rows[1].1[..3], ["A-2", "", "0"].map(str::to_owned));
        assert_eq!((rows.len(), wrong), (2, vec![codes::NOT_INVENTORY.to_owned()]));
    }

    #[test]
    fn a_message_that_is_cut_off_does_not_count_its_last_item() {
        let cut = &SAMPLE[..SAMPLE.find("QTY*33*0").unwrap()];
        let (mut rows, mut wrong) = (0, Vec::new());
        let mut sink = |step| {
            match step {
                Step::Row(..) => rows += 1,
                Step::Wrong(finding) => wrong.push(finding.code),
            }
            true
        };
        each(cut.as_bytes(), None, &mut sink).unwrap();
        assert_eq!((rows, wrong), (1, vec![codes::TRUNCATED.to_owned()]));
    }
}
