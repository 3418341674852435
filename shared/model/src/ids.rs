//! Identifiers: short, printable, cheap to clone.

use std::{fmt, sync::Arc};

use crate::Invalid;

/// Longest identifier accepted, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Longest name of a reservation, in bytes: its supplier's id, `::` and 24 characters that nobody can guess.
pub const RESERVATION_BYTES_MAX: usize = ID_BYTES_MAX + 26;

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
        id!($(#[$doc])* $name, $kind, ID_BYTES_MAX);
    };
    ($(#[$doc:meta])* $name:ident, $kind:literal, $bytes_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, schemars::JsonSchema)]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

        crate::text::as_text!($name, |text| $name::of_record(text), |id| &id.0);

        impl $name {
            /// Checks and wraps `text`: 1 to 64 bytes (reservations: 90) of letters, digits and `. _ - : @ +`, but neither `.` nor `..`.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                check_path($kind, text)?;
                Self::of_record(text)
            }
            /// The same as records have it, which may be older than the rule about `.` and `..`.
            pub fn of_record(text: &str) -> Result<Self, Invalid> {
                check($kind, $bytes_max, text)?;
                Ok(Self(text.into()))
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
    ListingId, "listing id");
id!(/// A supplier's own name for one of its locations.
    LocationId, "location id");
id!(/// The marketplace's stock keeping unit, shared by all suppliers of the same good.
    Sku, "sku");
id!(/// A buyer: the key of order outcomes in `events.inbox`.
    BuyerId, "buyer id");
id!(/// An order of the marketplace's order system.
    OrderId, "order id");
id!(/// One line of an order, as the order system counts them.
    LineId, "order line id");
id!(/// A reservation: units held for a buyer. It begins with its supplier's id, so that any replica finds its partition.
    ReservationId, "reservation", RESERVATION_BYTES_MAX);
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
            assert!(ListingId::new(bad).is_err(), "{bad}");
        }
    }
}
