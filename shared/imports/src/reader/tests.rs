//! Whole files, as they come.

use std::{
    fs::File,
    io::{Cursor, Write as _},
};

use super::*;
use crate::Severity;

struct Written {
    path: std::path::PathBuf,
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn written(bytes: &[u8]) -> Written {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("stockade-imports-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    Written { path }
}

fn read_with(bytes: &[u8], options: &Options) -> (Option<Facts>, Vec<Item>, Option<Finding>) {
    let file = written(bytes);
    let opened = match open(&file.path, options) {
        Ok(opened) => opened,
        Err(finding) => return (None, Vec::new(), Some(finding)),
    };
    let (facts, mut items) = (opened.facts.clone(), Vec::new());
    let ended = opened.each(&mut |item| {
        items.push(item);
        true
    });
    (Some(facts), items, ended.err())
}

fn read(bytes: &[u8]) -> (Vec<Item>, Option<Finding>) {
    let (_, items, ended) = read_with(bytes, &Options::default());
    (items, ended)
}

/// Listings and units of rows, lines and codes of what was refused.
fn shown(items: &[Item]) -> Vec<String> {
    let one = |item: &Item| match item {
        Item::Row(draft) => {
            format!("{} {}", draft.listing, draft.on_hand.map_or("-".to_owned(), |units| units.to_string()))
        }
        Item::Batch(line, text) => format!("{line} {text}"),
        Item::Refused(_, finding) => format!("{}:{}:{}", finding.line, finding.column, finding.code),
        Item::Warning(finding) => format!("warning {}", finding.code),
    };
    items.iter().map(one).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const OWN: &str = "listing;on_hand\nÄ-1;5\nB 2;0\n";

#[test]
fn a_file_is_read_the_same_in_every_encoding_and_archive() {
    let utf16 = |big: bool, mark: bool| -> Vec<u8> {
        let text = if mark { format!("\u{feff}{OWN}") } else { OWN.to_owned() };
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let latin: Vec<u8> = OWN.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for (bytes, encoding, archive) in [
        (OWN.as_bytes().to_vec(), Encoding::Utf8, Archive::Plain),
        (format!("\u{feff}{OWN}").into_bytes(), Encoding::Utf8Bom, Archive::Plain),
        (utf16(false, true), Encoding::Utf16Le, Archive::Plain),
        (utf16(true, true), Encoding::Utf16Be, Archive::Plain),
        (utf16(true, false), Encoding::Utf16Be, Archive::Plain),
        (latin.clone(), Encoding::Windows1252, Archive::Plain),
        (gzip(&latin), Encoding::Windows1252, Archive::Gzip),
        (gzip(OWN.as_bytes()), Encoding::Utf8, Archive::Gzip),
        (zip(&[("stock.csv", OWN.as_bytes()), ("__MACOSX/x", b"")]), Encoding::Utf8, Archive::Zip),
        (OWN.replace('\n', "\r\n").into_bytes(), Encoding::Utf8, Archive::Plain),
        (OWN.replace('\n', "\r").into_bytes(), Encoding::Utf8, Archive::Plain),
    ] {
        let (facts, items, ended) = read_with(&bytes, &Options::default());
        let facts = facts.unwrap();
        assert_eq!(shown(&items), ["Ä-1 5", "B 2 0"], "{encoding:?} {archive:?}");
        assert_eq!((facts.encoding, facts.archive, facts.delimiter), (encoding, archive, Some(';')));
        assert_eq!(ended, None);
    }
}

#[test]
fn each_bad_row_is_said_by_line_and_column_and_the_rest_is_read() {
    let text = "listing,sku,gtin,location,price,currency,on_hand\n\
        a,S,,main,\"1,50\",EUR,3\n\
        8.06E+12,S,,main,1,EUR,3\n\
        c,S,,main,1,EUR,-3\n\
        d,S,,main,,EUR,3\n\
        e,S,,main,1,EUR\n\
        f,S,,main,1,EUR,3,\n\
        ,S,,main,1,EUR,3\n\
        h,S,,main,1,EURO,3\n\
        i,S,,,1,EUR,3\n\
        j,S,,main,1,EUR,1.5\n\
        k,\"S,,main,1,EUR,3\n\
        l,S,,main,£1,EUR,3\n\
        m,S,,main,1,EUR,\n";
    let (items, ended) = read(text.as_bytes());
    let expected = [
        "a 3",
        "3:listing:spreadsheet_number",
        "4:on_hand:negative_stock",
        "5:price:missing_value",
        "6::cell_count",
        "f 3",
        "8:listing:missing_value",
        "9:currency:currency_format",
        "10:location:missing_value",
        "11:on_hand:not_whole",
        "12::unclosed_quote",
        "13:price:currency_mismatch",
        "m -",
    ];
    assert_eq!(shown(&items), expected);
    assert_eq!(ended, None);
    let Item::Refused(subject, finding) = &items[2] else { panic!("refused") };
    assert_eq!(
        (subject.as_deref(), finding.value.as_str(), finding.severity),
        (Some("c"), "-3", Severity::Refused)
    );
    assert!(finding.detail.contains("send 0"), "{finding}");
}

#[test]
fn an_archive_that_breaks_off_gives_the_rows_before_and_never_half_a_row() {
    let rows: String = (0..5_000).map(|n| format!("listing-{n},{}\n", n * 7_919 % 1_000)).collect();
    let packed = gzip(format!("listing,on_hand\n{rows}").as_bytes());
    let (items, ended) = read(&packed[..packed.len() * 2 / 3]);
    assert_eq!(ended.unwrap().code, codes::TRUNCATED);
    assert!(items.len() > 100, "{}", items.len());
    for (n, item) in items.iter().enumerate() {
        assert_eq!(shown(std::slice::from_ref(item)), [format!("listing-{n} {}", n * 7_919 % 1_000)]);
    }
    let whole = zip(&[("a.csv", OWN.as_bytes())]);
    assert_eq!(read(&whole[..whole.len() - 30]).1.unwrap().code, codes::BROKEN_ARCHIVE);
    let workbook: [(&str, &[u8]); 3] = [
        ("[Content_Types].xml", b"<x/>"),
        ("xl/workbook.xml", b"<x/>"),
        ("xl/worksheets/sheet1.xml", b"<x/>"),
    ];
    let finding = read(&zip(&workbook)).1.unwrap();
    assert_eq!(finding.code, codes::NOT_A_TABLE);
    assert!(finding.detail.contains("Excel") && finding.detail.contains("as CSV"), "{finding}");
    assert_eq!(read(b"%PDF-1.7\n1 0 obj\n").1.unwrap().code, codes::NOT_A_TABLE);
    let two = zip(&[("a.csv", OWN.as_bytes()), ("b.csv", OWN.as_bytes())]);
    assert_eq!(read(&two).1.unwrap().code, codes::ZIP_ENTRIES);
    assert_eq!(read(&gzip(b"")).1.unwrap().code, codes::EMPTY);
}

#[test]
fn an_archive_made_to_swell_is_stopped_within_the_memory_of_a_record() {
    let mut bomb = b"listing,on_hand\na,1\n".to_vec();
    bomb.extend(std::iter::repeat_n(b'0', 64 << 20));
    for packed in [gzip(&bomb), zip(&[("a.csv", &bomb)])] {
        assert!(packed.len() < 200_000);
        let (items, ended) = read(&packed);
        assert_eq!(ended.unwrap().code, codes::BOMB);
        assert_eq!(shown(&items)[0], "a 1");
    }
    let bounds = Bounds { inflated_bytes_max: 10_000, ..Bounds::default() };
    let (_, _, ended) = read_with(&bomb, &Options { bounds, ..Options::default() });
    assert_eq!(ended.unwrap().code, codes::TOO_LARGE);
    let bounds = Bounds { rows_max: 1, ..Bounds::default() };
    let (_, items, ended) = read_with(OWN.as_bytes(), &Options { bounds, ..Options::default() });
    assert_eq!((items.len(), ended.unwrap().code.as_str()), (1, codes::TOO_MANY_ROWS));
}

#[test]
fn lines_of_two_encodings_are_told_apart_and_the_rest_is_read() {
    let mut text = "listing,on_hand\nä,1\n".as_bytes().to_vec();
    text.extend(b"\xe4,2\nb,3\n");
    let (items, _) = read(&text);
    assert_eq!(shown(&items), ["ä 1", "3::mixed_encoding", "b 3"]);
}

#[test]
fn columns_that_are_not_known_are_proposed_but_not_taken_unasked() {
    let text = "Artikel-Nr.;Preis;Bestand\nA;1.234,50 €;1.000\n".as_bytes();
    let file = written(text);
    let opened = open(&file.path, &Options::default()).unwrap();
    let problem = opened.problem.clone().unwrap();
    assert_eq!(problem.code, codes::WRONG_HEADER);
    assert!(problem.detail.contains("Artikel-Nr., Preis, Bestand"), "{problem}");
    let proposal = opened.proposal.unwrap();
    let parsed = Mapping::parse(&proposal.to_yaml()).unwrap();
    assert_eq!(parsed, proposal);
    for choice in [Choice::Proposed, Choice::Given(Box::new(parsed))] {
        let (_, items, _) = read_with(text, &Options { choice, ..Options::default() });
        let [Item::Row(draft)] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!((draft.price.unwrap().minor, draft.on_hand), (123_450, Some(1_000)));
        assert_eq!(draft.location.as_deref(), Some("main"));
    }
}

#[test]
fn json_lines_are_rows_of_the_api_or_flat_objects() {
    let text = "{\"op\":\"stock\",\"listing\":\"a\",\"set\":1}\n\n{\"listing\":\"b\",\"on_hand\":2}\nnot json\n[1]\n\
        {\"listing\":\"c\",\"sku\":\"S\",\"location\":\"main\",\"price\":{\"minor\":1,\"currency\":\"EUR\"}}\n{\"listing\":\"d\",\"on_hand\":-1}\n";
    let (items, _) = read(text.as_bytes());
    let shown = shown(&items);
    assert_eq!(shown[0], "1 {\"op\":\"stock\",\"listing\":\"a\",\"set\":1}");
    assert_eq!(shown[1..4], ["b 2", "4::not_json", "5::not_json"]);
    assert!(shown[4].contains("\"op\":\"put\""), "{}", shown[4]);
    assert_eq!(shown[5], "7:on_hand:negative_stock");
}

#[test]
fn the_shipped_formats_are_read_without_a_mapping() {
    let google = "store_code\tid\tquantity\tprice\tavailability\nB1\tSKU1\t3\t12.50 USD\tin_stock\nB1\tSKU2\t9\t1 USD\tout_of_stock\n";
    let (items, _) = read(google.as_bytes());
    assert_eq!(shown(&items), ["SKU1@B1 3", "SKU2@B1 0"]);
    let (items, _) = read(x12::SAMPLE.as_bytes());
    assert_eq!(shown(&items), ["A-1 7", "A-2 0", "15:ST01:not_inventory"]);
    let epcis = r#"{"type":"EPCISDocument","epcisBody":{"eventList":[{"type":"ObjectEvent","action":"OBSERVE","bizStep":"stock_taking","quantityList":[{"epcClass":"https://id.gs1.org/01/09521141123454","quantity":3}]}]}}"#;
    let (items, _) = read(epcis.as_bytes());
    assert_eq!(shown(&items), ["09521141123454 3"]);
}

/// A stream of rows that is never anywhere as a whole.
fn rows_file(rows: u32) -> Written {
    let file = written(b"");
    let out = File::create(&file.path).unwrap();
    let mut out = io::BufWriter::new(flate2::write::GzEncoder::new(out, flate2::Compression::fast()));
    writeln!(out, "listing,sku,location,price,currency,on_hand").unwrap();
    for n in 0..rows {
        writeln!(out, "l-{n},sku-{n},main,{}.{:02},EUR,{}", n % 900, n % 100, n % 77).unwrap();
    }
    out.into_inner().unwrap().finish().unwrap();
    file
}

#[test]
fn of_the_beginning_alone_blank_lines_and_bytes_count_and_the_rows_before_are_given() {
    let beginning = Beginning { bytes_max: 2 << 20, lines_max: 10_000 };
    let begun = |bytes: &[u8]| {
        let (file, looked) = (written(bytes), Arc::new(AtomicU64::new(0)));
        let opened = open(&file.path, &Options::default()).unwrap().begun(beginning, looked.clone());
        let mut rows = 0;
        let ended = opened.each(&mut |_| {
            rows += 1;
            true
        });
        (rows, ended.err().map(|finding| finding.code), looked.load(Ordering::Relaxed))
    };
    let with = |rest: Vec<u8>| [OWN.as_bytes(), rest.as_slice()].concat();
    let ended = || Some(codes::BEGINNING.to_owned());
    let small = with(vec![b'\n'; 100]);
    assert_eq!(begun(&small), (2, None, small.len() as u64));
    // As a preview was made to scan all that it may: next to nothing is sent.
    let blank = gzip(&with(vec![b'\n'; 5 << 20]));
    assert!(blank.len() < 10_000, "{}", blank.len());
    assert_eq!(begun(&blank), (2, ended(), 1 << 20), "no more than it takes to find out what it is");
    let api_row = b"{\"op\":\"withdraw\",\"listing\":\"a\"}\n";
    let blank = [api_row.as_slice(), &[b'\n'; 20_000][..]].concat();
    assert_eq!(begun(&blank), (1, ended(), blank.len() as u64));
    let (items, _) = x12::SAMPLE.split_once("CTT").unwrap();
    let (rows, why, _) = begun([items, &"N~".repeat(20_000)].concat().as_bytes());
    assert_eq!((rows, why), (1, ended()), "the second item goes on");
    let mut wide = vec![b' '; 60_000];
    wide.push(b'\n');
    let (rows, why, looked) = begun(&with(wide.repeat(50)));
    assert_eq!((rows, why), (2, ended()));
    assert!((2 << 20..3 << 20).contains(&looked), "{looked}");
}

#[test]
fn ten_times_the_rows_take_no_more_memory() {
    let held = |rows: u32| {
        let file = rows_file(rows);
        let mut count = 0;
        let used = allocation_counter::measure(|| {
            let opened = open(&file.path, &Options::default()).unwrap();
            opened
                .each(&mut |item| {
                    assert!(matches!(item, Item::Row(_)));
                    count += 1;
                    true
                })
                .unwrap();
        });
        assert_eq!(count, rows);
        used.bytes_max
    };
    let (small, large) = (held(60_000), held(600_000));
    assert!(large < small + (64 << 10), "{small} bytes for 60,000 rows, {large} for 600,000");
    assert!(large < 16 << 20, "{large}");
}

proptest::proptest! {
    /// Whatever a file holds, reading it ends, and every line that is refused has a place and a reason.
    #[test]
    fn any_bytes_are_rows_or_reasons(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), with_header: bool) {
        let mut file = if with_header { b"listing,on_hand\n".to_vec() } else { Vec::new() };
        file.extend(bytes);
        let (_, items, _) = read_with(&file, &Options::default());
        for item in items {
            if let Item::Refused(_, finding) = item {
                proptest::prop_assert!(finding.line > 0 && !finding.code.is_empty() && !finding.detail.is_empty());
            }
        }
    }
}
