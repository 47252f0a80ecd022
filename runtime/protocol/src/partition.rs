//! Which partition a key belongs to.

/// FNV-1a, 32 bit (Fowler, Noll, Vo; RFC 9923).
///
/// It is what NATS computes for `{{partition(n,token)}}`, so the server routes a plain publish to the partition
/// that the engine computes itself.
pub fn fnv1a32(bytes: &[u8]) -> u32 {
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME))
}

/// The partition of an escaped key, from 0 to `partitions - 1`.
pub fn of(key: &str, partitions: u16) -> u16 {
    (fnv1a32(key.as_bytes()) % u32::from(partitions.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_matches_the_published_vectors() {
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv1a32(text.as_bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn partitions_are_frozen() {
        let of64 = ["order-1", "order-2", "customer_42", "=C3=A9", "0"].map(|key| of(key, 64));
        assert_eq!(of64, [45, 52, 0, 59, 47]);
    }
}
