//! HMAC-SHA-256 (RFC 2104), for the server's own nonces.

use sha2::{Digest, Sha256};

const BLOCK: usize = 64;

/// Computes HMAC-SHA-256 over the parts, one after another, with a key of 32 bytes.
pub(crate) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut padded = [0u8; BLOCK];
    for (place, byte) in padded.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut inner = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::algorithm::hex;
    use super::*;

    #[test]
    fn the_second_case_of_rfc4231_comes_out_with_its_key_padded() {
        let mut key = [0u8; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac_sha256(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            hex(&mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
