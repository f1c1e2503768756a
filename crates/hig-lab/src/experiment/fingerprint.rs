//! Fingerprints of finished trainings: short names that are the same as long as the numbers are.
//!
//! What is hashed is the configuration file that makes a training again, a text whose form is documented
//! and does not depend on how the program keeps settings in memory.

/// FNV-1a: the same on every machine and in every version of the compiler.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_authors_of_fnv() {
        // Test vectors of the FNV-1a page by Noll.
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }
}
