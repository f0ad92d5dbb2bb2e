//! Hashes made while compiling: the shape of a model as a number.

/// FNV-1a, 64 bit, over the bytes of a text; usable in constants.
///
/// The algorithm is Fowler, Noll and Vo's (draft-eastlake-fnv); it is used for names of types and columns only, which
/// nobody outside the program chooses.
#[must_use]
pub const fn fingerprint(text: &str) -> u64 {
    more(0xcbf2_9ce4_8422_2325, text.as_bytes())
}

const fn more(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash ^= bytes[i] as u64;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

/// The fingerprint of a row: the names and shapes of its columns, in order.
#[must_use]
pub const fn row_fingerprint(columns: &[(&str, u64)]) -> u64 {
    let mut hash = fingerprint("pie row 1");
    let mut i = 0;
    while i < columns.len() {
        hash = more(hash, columns[i].0.as_bytes());
        hash = more(hash, &[0]);
        hash = more(hash, &columns[i].1.to_le_bytes());
        i += 1;
    }
    hash
}

/// Folds a second hash into a first one, order mattering.
#[must_use]
pub const fn mix(a: u64, b: u64) -> u64 {
    more(a, &b.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_fixed_for_ever() {
        // FNV-1a's own test vectors.
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_rename_a_swap_or_another_type_is_another_shape() {
        let base = row_fingerprint(&[("a", 1), ("b", 2)]);
        assert_ne!(base, row_fingerprint(&[("a", 1), ("c", 2)]));
        assert_ne!(base, row_fingerprint(&[("b", 2), ("a", 1)]));
        assert_ne!(base, row_fingerprint(&[("a", 1), ("b", 3)]));
    }
}
