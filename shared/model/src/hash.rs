//! Hashes that are part of stored state and so must never change.

/// FNV-1a, 64 bits (Fowler, Noll, Vo), with a final mix so that low bits are good too. Never 0.
pub fn stable64(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    hash.max(1)
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half)];
    let text: Vec<u8> = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes that hexadecimal digits stand for; `None` where they are none.
pub fn of_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8; 2]| Some(digit_of(pair[0])? << 4 | digit_of(pair[1])?);
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if odd.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn digit_of(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The first 16 bytes of SHA-256 of the parts, each ended by a zero byte: an identity, not a checksum.
pub fn identity128(parts: &[&str]) -> u128 {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_hashes_never_change() {
        assert_eq!(stable64(""), 18_284_041_282_127_212_159);
        assert_eq!(stable64("buyer-1"), stable64("buyer-1"));
        assert_eq!(hex(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
        assert_eq!(of_hex("000fa5ff"), Some(vec![0x00, 0x0f, 0xa5, 0xff]));
        assert_eq!((of_hex("0"), of_hex("0g"), of_hex("+1"), of_hex("é")), (None, None, None, None));
        assert_ne!(identity128(&["ab", "c"]), identity128(&["a", "bc"]));
    }
}
