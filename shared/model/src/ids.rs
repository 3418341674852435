//! Identifiers: short, printable, cheap to clone.
//!
//! There are two kinds. *Ids* are given by systems (suppliers, orders, events, rules) and hold letters, digits and a few signs,
//! so they may stand beside a separator. *Names* are a seller's own (SKU, listing, location): what stands on the label, in
//! whatever script, with spaces and slashes. Where a name goes into a key together with an id, it goes last.

use std::{fmt, sync::Arc};

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use crate::Invalid;

/// Longest identifier accepted, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Longest name of a seller's own, in characters: what people see and count.
pub const NAME_CHARS_MAX: usize = 128;

/// Longest name of a reservation, in bytes: its supplier's id, `::` and 24 characters that nobody can guess.
pub const RESERVATION_BYTES_MAX: usize = ID_BYTES_MAX + 26;

fn id_of<const BYTES_MAX: usize>(kind: &'static str, text: &str) -> Result<Arc<str>, Invalid> {
    check(kind, BYTES_MAX, text)?;
    Ok(text.into())
}

/// A seller's own name. The same text written with combining marks is the same name, so what is kept is its NFC.
fn name_of(kind: &'static str, text: &str) -> Result<Arc<str>, Invalid> {
    let composed = normalized(text);
    let chars = if composed.is_ascii() { composed.len() } else { composed.chars().count() };
    if !(1..=NAME_CHARS_MAX).contains(&chars) {
        let detail = format!("{kind} must be 1 to {NAME_CHARS_MAX} characters long, got {chars}");
        return Err(Invalid::new("id_length", detail));
    }
    if let Some(hidden) = composed.chars().find(|c| is_hidden(*c)) {
        let code = u32::from(hidden);
        let detail = format!("{kind} holds U+{code:04X}, which nobody sees; leave it out");
        return Err(Invalid::new("id_character", detail));
    }
    // What was no UTF-8 arrives as this sign, and two names that were different would be the same.
    if composed.contains(char::REPLACEMENT_CHARACTER) {
        let detail = format!("{kind} holds U+FFFD, so it was damaged on its way; send it as UTF-8");
        return Err(Invalid::new("id_character", detail));
    }
    if composed.trim().len() != composed.len() {
        let detail = format!("{kind} begins or ends with a space; leave it out");
        return Err(Invalid::new("id_space", detail));
    }
    Ok(composed.as_ref().into())
}

/// `text` in Unicode's normal form C, in which a letter with an accent is one character wherever there is one.
pub fn normalized(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    }
}

/// Whether a character acts or hides rather than shows: control characters, ends of lines and paragraphs, marks that turn
/// the direction of writing, and spaces without width. Joiners stay, for some scripts are not written without them.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

fn check(kind: &'static str, bytes_max: usize, text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(Invalid::new(
            "id_length",
            format!("{kind} must be 1 to {bytes_max} bytes long, got {}", text.len()),
        ));
    }
    // '/' and '?' would change the meaning of a path, control characters the meaning of a log line.
    let fits =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'@' | b'+');
    // Nearly always all of them do, and bytes are told apart faster than characters.
    if text.as_bytes().iter().all(fits) {
        return Ok(());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-' | ':' | '@' | '+'))
    {
        Some(bad) => Err(Invalid::new(
            "id_character",
            format!("{kind} may hold letters, digits and . _ - : @ + only, found {bad:?}"),
        )),
        None => Ok(()),
    }
}

/// `.` and `..` are steps of a path: a link to what they name would lead elsewhere.
fn check_path(kind: &'static str, text: &str) -> Result<(), Invalid> {
    if matches!(text, "." | "..") {
        return Err(Invalid::new(
            "id_reserved",
            format!("{kind} may not be {text:?}; add a letter or digit"),
        ));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        id!($(#[$doc])* $name, $kind, id_of::<ID_BYTES_MAX>, "1 to 64 bytes of letters, digits and `. _ - : @ +`",
            "^[A-Za-z0-9._:@+-]{1,64}$");
    };
    ($(#[$doc:meta])* $name:ident, $kind:literal, $read:expr, $rule:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, schemars::JsonSchema)]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $name(Arc<str>);

        crate::text::as_text!($name, |text| $name::of_record(text), |id| &id.0);

        impl $name {
            #[doc = concat!("Checks and wraps `text`: ", $rule, ", but neither `.` nor `..`.")]
            pub fn new(text: &str) -> Result<Self, Invalid> {
                check_path($kind, text)?;
                Self::of_record(text)
            }
            /// The same as records have it, which may be older than the rule about `.` and `..`.
            pub fn of_record(text: &str) -> Result<Self, Invalid> {
                $read($kind, text).map(Self)
            }
            /// The identifier as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::of_record(&text)
            }
        }
        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(/// A supplier of the marketplace: the key of `supplier.events`.
    SupplierId, "supplier id");
id!(/// A supplier's own name for one of its listings.
    ListingId, "listing id", name_of, "1 to 128 characters that can be seen, kept as NFC", "^.{1,128}$");
id!(/// A supplier's own name for one of its locations.
    LocationId, "location id", name_of, "1 to 128 characters that can be seen, kept as NFC", "^.{1,128}$");
id!(/// The marketplace's stock keeping unit, shared by all suppliers of the same good.
    Sku, "sku", name_of, "1 to 128 characters that can be seen, kept as NFC", "^.{1,128}$");
id!(/// A buyer: the key of order outcomes in `events.inbox`.
    BuyerId, "buyer id");
id!(/// An order of the marketplace's order system.
    OrderId, "order id");
id!(/// One line of an order, as the order system counts them.
    LineId, "order line id");
id!(/// A reservation: units held for a buyer. It begins with its supplier's id, so that any replica finds its partition.
    ReservationId, "reservation", id_of::<RESERVATION_BYTES_MAX>, "1 to 90 bytes of letters, digits and `. _ - : @ +`",
    "^[A-Za-z0-9._:@+-]{1,90}$");
id!(/// A basket: reservations of one buyer over several lines and suppliers, made by one request. It names no supplier.
    BasketId, "basket");
id!(/// The identifier of an event or command, unique within its source.
    EventId, "event id");
id!(/// The name of a lockout rule.
    RuleId, "rule id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_a_step_of_a_path() {
        for step in [".", ".."] {
            assert_eq!(ListingId::new(step).unwrap_err().code, "id_reserved");
            assert!(ListingId::of_record(step).is_ok(), "records keep what was written");
        }
        for fine in ["...", ".a", "a.", "a..b", "-", "+"] {
            assert!(ListingId::new(fine).is_ok(), "{fine}");
        }
        for bad in ["", "a/b", "a b", "ä", "?"] {
            assert!(SupplierId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sellers_own_name_is_what_stands_on_the_label_in_one_spelling() {
        let umlauts = "Käse/Größe 2 ½ \"XL\" #7\\?";
        let longest = "货".repeat(NAME_CHARS_MAX);
        for fine in [umlauts, longest.as_str(), "می\u{200c}خواهم", "a b", "100% Wolle", "👩\u{200d}🚀"]
        {
            assert_eq!(Sku::new(fine).unwrap().as_str(), fine);
            let written = serde_json::to_string(&ListingId::new(fine).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<ListingId>(&written).unwrap().as_str(), fine, "it comes back");
        }
        // The same letters, composed and not, by every way in.
        let (apart, whole) = ("Ku\u{308}che", "Küche");
        assert_eq!(Sku::new(apart).unwrap(), Sku::new(whole).unwrap());
        assert_eq!(Sku::of_record(apart).unwrap().as_str(), whole);
        assert_eq!(serde_json::from_str::<LocationId>(&format!("\"{apart}\"")).unwrap().as_str(), whole);
        // What is counted is what is kept.
        assert!(Sku::new(&"u\u{308}".repeat(NAME_CHARS_MAX)).is_ok());

        let code = |text: &str| Sku::new(text).unwrap_err().code;
        assert_eq!((code(""), code(&"货".repeat(NAME_CHARS_MAX + 1))), ("id_length", "id_length"));
        for hidden in ["a\0b", "a\nb", "a\u{85}", "\u{feff}a", "a\u{202e}b", "a\u{200b}b", "a\u{2028}b"] {
            assert_eq!(code(hidden), "id_character", "{hidden:?}");
        }
        assert_eq!(code("a\u{fffd}"), "id_character");
        assert_eq!((code(" a"), code("a "), code("\u{3000}a")), ("id_space", "id_space", "id_space"));
    }
}
