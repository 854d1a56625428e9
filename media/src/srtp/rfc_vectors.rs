//! The RFCs' own test vectors, on session keys.

use aes::cipher::KeyInit;
use aes::{Aes128, Aes256};
use zeroize::Zeroizing;

use super::cipher::{Cipher, Place, SessionKeys, Use, apply_keystream, initial_counter};
use super::{MasterKey, Suite};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// The keystream of SSRC 0 and index 0, from a block on.
fn keystream(key: &[u8], block: u16) -> Vec<u8> {
    let salt = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd");
    let place = Place {
        ssrc: 0,
        index: 0,
        clear: 0,
        beside: None,
    };
    let mut counter = initial_counter(salt.as_slice().try_into().unwrap(), &place);
    counter[14..].copy_from_slice(&block.to_be_bytes());
    let mut stream = vec![0; 48];
    match key.len() {
        16 => apply_keystream(&Aes128::new_from_slice(key).unwrap(), counter, &mut stream),
        _ => apply_keystream(&Aes256::new_from_slice(key).unwrap(), counter, &mut stream),
    }
    stream
}

#[test]
fn rfc_3711_b_2_and_rfc_6188_7_1_the_keystream_of_counter_mode() {
    let key = bytes("2b7e151628aed2a6abf7158809cf4f3c");
    let first = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab \
                 41e95b3bb0a2e8dd477901e4fca894c0";
    let last = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae \
                6a2cc3787889374fbeb4c81b17ba6c44";
    assert_eq!(keystream(&key, 0), bytes(first));
    assert_eq!(keystream(&key, 0xFEFF), bytes(last));
    let key = bytes("57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98");
    let first = "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac \
                 63c4868b7096d88421b563b8c94c9a31";
    let last = "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d \
                6eb246913062a16891433e97dd01a57f";
    assert_eq!(keystream(&key, 0), bytes(first));
    assert_eq!(keystream(&key, 0xFEFF), bytes(last));
}

#[test]
fn rfc_3711_b_3_and_rfc_6188_7_2_the_session_keys() {
    let vectors = [
        (
            Suite::AesCm128HmacSha1_80,
            "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
            "c61e7a93744f39ee10734afe3ff7a087",
            "30cbbc08863d8c85d49db34a9ae1",
            "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
        ),
        (
            Suite::Aes256CmHmacSha1_80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 \
             3b04803de51ee7c96423ab5b78d2",
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fa31791685ca444a9e07c6c64e93",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ),
    ];
    for (suite, master, key, salt, auth) in vectors {
        let master = MasterKey::from_bytes(suite, &bytes(master)).unwrap();
        let keys = SessionKeys::derive(&master, Use::Rtp).unwrap();
        assert_eq!(keys.key[..suite.key_bytes()], bytes(key), "{suite}");
        assert_eq!(keys.salt[..], bytes(salt), "{suite}");
        assert_eq!(keys.auth[..], bytes(auth), "{suite}");
    }
}

const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
                   696e2070 61727465 73207472 6573";
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
                    deadbeef deadbeef deadbeef deadbeef deadbeef";

/// Encrypts with the session keys of RFC 7714 §16 and decrypts again; what stands between is told.
fn gcm(suite: Suite, of: Use, place: Place, clear: &str) -> Vec<u8> {
    let mut keys = SessionKeys {
        key: Zeroizing::default(),
        auth: Zeroizing::default(),
        salt: Zeroizing::default(),
    };
    (0..32u8).for_each(|n| keys.key[usize::from(n)] = n);
    keys.salt[..12].copy_from_slice(b"Quid pro quo");
    let cipher = Cipher::new(suite, of, &keys).unwrap();
    let mut packet = bytes(clear);
    let tag = cipher.encrypt(&place, &mut packet).unwrap();
    let protected = [&packet[..], &tag[..]].concat();
    assert!(cipher.decrypt(&place, &mut packet, &[0; 16]).is_none());
    cipher.decrypt(&place, &mut packet, &tag).unwrap();
    assert_eq!(packet, bytes(clear));
    protected
}

#[test]
fn rfc_7714_16_rtp_in_galois_counter_mode() {
    let place = Place {
        ssrc: 0x5501_A0B2,
        index: 0xF17B,
        clear: 12,
        beside: None,
    };
    let protected = |suite| gcm(suite, Use::Rtp, place, RTP);
    assert_eq!(
        protected(Suite::AeadAes128Gcm),
        bytes(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
             42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce"
        )
    );
    assert_eq!(
        protected(Suite::AeadAes256Gcm),
        bytes(
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 \
             b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13"
        )
    );
}

#[test]
fn rfc_7714_17_rtcp_in_galois_counter_mode() {
    let place = Place {
        ssrc: 0x4D61_7273,
        index: 0x5D4,
        clear: 8,
        beside: Some(0x8000_05D4u32.to_be_bytes()),
    };
    let protected = |suite| gcm(suite, Use::Rtcp, place, RTCP);
    assert_eq!(
        protected(Suite::AeadAes128Gcm),
        bytes(
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
             730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade"
        )
    );
    assert_eq!(
        protected(Suite::AeadAes256Gcm),
        bytes(
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 \
             110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be"
        )
    );
}
