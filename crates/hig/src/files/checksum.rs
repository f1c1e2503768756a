//! A checksum over all bytes of a safetensors file (CRC-32, IEEE 802.3), in its metadata: it is taken with
//! eight zeros in its own place.

/// What stands in the metadata before the checksum is known.
pub(super) const ZEROS: &str = "00000000";

/// What is told of a file with another checksum than its own.
pub(super) const WRONG: &str = "its checksum is wrong: it is truncated or damaged";

/// Puts the checksum in its place, which holds [`ZEROS`] under this name.
pub(super) fn seal(bytes: &mut [u8], name: &str) {
    if let Some(place) = place(bytes, name) {
        let sum = format!("{:08x}", crc32fast::hash(bytes));
        bytes[place..place + ZEROS.len()].copy_from_slice(sum.as_bytes());
    }
}

/// Whether the checksum of this name is right; none where there is none.
pub(super) fn is_right(bytes: &[u8], name: &str) -> Option<bool> {
    let place = place(bytes, name)?;
    let told = bytes.get(place..place + ZEROS.len())?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..place]);
    sum.update(ZEROS.as_bytes());
    sum.update(&bytes[place + ZEROS.len()..]);
    Some(told == format!("{:08x}", sum.finalize()).as_bytes())
}

/// Where the checksum stands: in the header, which comes first, and there only once.
fn place(bytes: &[u8], name: &str) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let header = bytes.get(8..)?;
    let header = &header[..header.len().min(usize::try_from(length).ok()?)];
    let key = format!("\"{name}\":\"");
    let found = header
        .windows(key.len())
        .position(|window| window == key.as_bytes())?;
    Some(8 + found + key.len())
}
