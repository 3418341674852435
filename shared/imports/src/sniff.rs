//! What a file is, from its first bytes: encoding, format, delimiter.

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::finding::{Finding, codes};

/// Bytes of a file from which it is found out what it is.
pub const SAMPLE_BYTES: usize = 1 << 20;

/// How characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8; without a mark and with nothing but ASCII in sight, the first other character decides.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-8 with a byte-order mark.
    #[serde(rename = "utf-8-bom")]
    Utf8Bom,
    /// UTF-16, little end first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, big end first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// Windows-1252, which contains what is printable of Latin-1.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Encoding {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf8Bom => "utf-8-bom",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The encoding of a name; Latin-1 is read as Windows-1252, which contains what is printable of it.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "utf-16le" => Some(Self::Utf16Le),
            "utf-16be" => Some(Self::Utf16Be),
            "windows-1252" | "latin-1" | "latin1" | "iso-8859-1" => Some(Self::Windows1252),
            _ => None,
        }
    }

    pub(crate) fn transcodes_from(self) -> Option<&'static encoding_rs::Encoding> {
        match self {
            Self::Utf16Le => Some(UTF_16LE),
            Self::Utf16Be => Some(UTF_16BE),
            _ => None,
        }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Delimited by commas, semicolons or bars.
    Csv,
    /// Delimited by tabs.
    Tsv,
    /// A JSON object a line.
    Ndjson,
    /// ANSI X12 846.
    X12,
    /// GS1 EPCIS 2.0 in JSON.
    Epcis,
}

impl Format {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Ndjson => "ndjson",
            Self::X12 => "x12",
            Self::Epcis => "epcis",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Csv, Self::Tsv, Self::Ndjson, Self::X12, Self::Epcis]
            .into_iter()
            .find(|format| format.as_str() == name)
    }
}

/// The encoding of a file that begins so; `whole` when that is all of it.
pub(crate) fn encoding(sample: &[u8], whole: bool) -> Encoding {
    match sample {
        [0xef, 0xbb, 0xbf, ..] => return Encoding::Utf8Bom,
        [0xff, 0xfe, ..] => return Encoding::Utf16Le,
        [0xfe, 0xff, ..] => return Encoding::Utf16Be,
        _ => {}
    }
    // Without a mark: in inventory most characters are ASCII, whose other byte is zero in UTF-16.
    let zeros =
        |from: usize| sample.iter().skip(from).step_by(2).take(512).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), sample.len().min(1_024) / 4);
    if half > 0 && odd > half && even == 0 {
        return Encoding::Utf16Le;
    }
    if half > 0 && even > half && odd == 0 {
        return Encoding::Utf16Be;
    }
    match std::str::from_utf8(sample) {
        Ok(_) => Encoding::Utf8,
        // The sample may end within a character.
        Err(error) if error.error_len().is_none() && !whole => Encoding::Utf8,
        Err(error) => {
            // A file of many good characters with a few bad lines is UTF-8 with bad lines.
            let good = sample[..error.valid_up_to()].iter().any(|byte| !byte.is_ascii());
            if good { Encoding::Utf8 } else { Encoding::Windows1252 }
        }
    }
}

/// How to save a workbook as what is read here.
pub(crate) const WORKBOOK: &str = "this is a workbook of Excel or another spreadsheet program; open it there and save the sheet as CSV (UTF-8)";
/// Control characters from which on a file may be no text; fewer are a slip in a cell of a short one.
const CONTROLS_MIN: usize = 3;
/// Characters of the beginning in which control characters are counted.
const LOOKED_AT_CHARS: usize = 8_192;

/// Refuses files that programs read and people do not, before something in them is taken for a header.
pub(crate) fn refuse_what_is_no_text(sample: &[u8], text: &str) -> Result<(), Finding> {
    let refuse = |detail: &str| Err(Finding::of_file(codes::NOT_A_TABLE, detail));
    match sample {
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => return refuse(WORKBOOK),
        [b'%', b'P', b'D', b'F', b'-', ..] => {
            return refuse("this is a PDF, which is made to be looked at; ask for the same as CSV");
        }
        _ => {}
    }
    // X12 may end its segments with any character. A few elsewhere are dirt, which costs their rows at most; Ctrl-Z once ended files.
    let odd = |c: &char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0b' | '\x0c' | '\x1a');
    let chars = text.chars().take(LOOKED_AT_CHARS).count();
    let controls = text.chars().take(LOOKED_AT_CHARS).filter(odd).count();
    if controls >= CONTROLS_MIN && controls * 100 > chars && !text.trim_start().starts_with("ISA") {
        return refuse(
            "this is no text, for more than one character in a hundred is a control character; send CSV, TSV, JSON lines, X12 846 or EPCIS 2.0",
        );
    }
    Ok(())
}

/// Windows-1252 as text.
pub(crate) fn windows_1252(bytes: &[u8]) -> String {
    WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned()
}

/// The format of a text that begins so.
pub(crate) fn format(text: &str) -> Result<Format, Finding> {
    let text = text.trim_start();
    if text.is_empty() {
        return Err(Finding::of_file(codes::EMPTY, "the file is empty; send one with a header and rows"));
    }
    if text.starts_with("ISA") && text.len() > 106 && !text.as_bytes()[3].is_ascii_alphanumeric() {
        return Ok(Format::X12);
    }
    if text.starts_with('{') {
        let first = text.lines().next().unwrap_or_default();
        let is_epcis =
            ["EPCISDocument", "epcisBody", "EPCISQueryDocument"].iter().any(|word| text.contains(word));
        let whole_object = serde_json::from_str::<serde::de::IgnoredAny>(first.trim()).is_ok();
        return Ok(if is_epcis || !whole_object && text.contains("eventList") {
            Format::Epcis
        } else {
            Format::Ndjson
        });
    }
    if text.starts_with('[') {
        let detail =
            "the file is one JSON array; send a JSON object a line (NDJSON), such as `jq -c '.[]'` writes";
        return Err(Finding::of_file(codes::NOT_JSON, detail));
    }
    Ok(if delimiter(text) == b'\t' { Format::Tsv } else { Format::Csv })
}

/// The delimiter of a text: the one that stands as often in each of the first lines.
pub(crate) fn delimiter(text: &str) -> u8 {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(20).collect();
    let count = |line: &str, mark: u8| {
        let mut quoted = false;
        let outside = |byte: &u8| {
            quoted ^= *byte == b'"';
            !quoted && *byte == mark
        };
        line.bytes().filter(outside).count()
    };
    let score = |mark: u8| {
        let first = lines.first().map_or(0, |line| count(line, mark));
        let agree = lines.iter().filter(|line| count(line, mark) == first).count();
        if first == 0 { (0, 0) } else { (agree, first) }
    };
    // The first of equals: a tab in one cell is rarer than a comma.
    let marks = [b'\t', b';', b'|', b','];
    let mut best = b',';
    let mut best_score = (0, 0);
    for mark in marks {
        if score(mark) > best_score {
            (best, best_score) = (mark, score(mark));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        let utf16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        assert_eq!(encoding("listing,on_hand\nä,1\n".as_bytes(), true), Encoding::Utf8);
        assert_eq!(encoding("\u{feff}listing".as_bytes(), true), Encoding::Utf8Bom);
        assert_eq!(encoding(&utf16("\u{feff}listing", false), true), Encoding::Utf16Le);
        assert_eq!(encoding(&utf16("listing,on_hand\n", false), true), Encoding::Utf16Le);
        assert_eq!(encoding(&utf16("listing,on_hand\n", true), true), Encoding::Utf16Be);
        assert_eq!(encoding(b"listing\nGr\xfc\xdfe\n", true), Encoding::Windows1252);
        assert_eq!(encoding("listing\nä".as_bytes().strip_suffix(b"\xa4").unwrap(), false), Encoding::Utf8);
        assert_eq!(windows_1252(b"Gr\xfc\xdfe \x80"), "Grüße €");
    }

    #[test]
    fn what_is_no_text_is_told_from_text_with_some_dirt() {
        let of = |bytes: &[u8]| refuse_what_is_no_text(bytes, &windows_1252(bytes));
        let xls = [&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1][..], &[0; 64]].concat();
        let noise: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
        let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), noise.as_slice()].concat();
        for (bytes, word) in [
            (xls.as_slice(), "save the sheet as CSV"),
            (b"%PDF-1.7\n%\xe2\xe3".as_slice(), "PDF"),
            (png.as_slice(), "no text"),
            (b"PAR1\x15\x04\x15\0\x15".as_slice(), "no text"),
        ] {
            let finding = of(bytes).unwrap_err();
            assert!(finding.detail.contains(word), "{}", finding.detail);
            assert_eq!(finding.code, codes::NOT_A_TABLE);
        }
        let rows = "a-1,Schrank \u{fc},5\n".repeat(40);
        for text in [
            format!("listing,name\x01,on_hand\n{rows}\x1a"),
            "ISA\x1d00\x1d\x1e\x1c".to_owned(),
            String::new(),
        ] {
            assert_eq!(refuse_what_is_no_text(text.as_bytes(), &text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn delimiters_and_formats_are_told_apart() {
        for (text, mark) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2\n2,5;3\n", b';'),
            ("a\tb, c\n1\t2\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("\"a;b\",c\n1,2\n", b','),
        ] {
            assert_eq!(char::from(delimiter(text)), char::from(mark), "{text}");
        }
        assert_eq!(format("{\"listing\":\"a\"}\n{\"listing\":\"b\"}\n").unwrap(), Format::Ndjson);
        assert_eq!(format("{\n \"type\": \"EPCISDocument\"").unwrap(), Format::Epcis);
        assert_eq!(format("[{}]").unwrap_err().code, codes::NOT_JSON);
        assert_eq!(format("  ").unwrap_err().code, codes::EMPTY);
    }
}
