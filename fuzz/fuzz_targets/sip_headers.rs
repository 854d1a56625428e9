//! Any value of any header field that is known, in a message that is in order otherwise: the first
//! byte says which field, the rest is its value.
#![no_main]

use offhook_sip::message::HeaderName;

#[path = "../../sip/tests/common/check.rs"]
mod check;

/// What the field under test stands in, its name and its end between the two.
const BEFORE: &[u8] = b"INVITE sip:bob@192.0.2.4 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds\r\n\
Max-Forwards: 70\r\n\
To: <sip:bob@192.0.2.4>\r\n\
From: <sip:alice@192.0.2.1>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710@192.0.2.1\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@192.0.2.1>\r\n";
const AFTER: &[u8] = b"\r\nContent-Length: 0\r\n\r\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, value)) = bytes.split_first() else {
        return;
    };
    let names = HeaderName::all();
    let Some(name) = names.get(usize::from(*which) % names.len()) else {
        return;
    };
    let field = [name.as_str().as_bytes(), b": ", value].concat();
    // In the place of the one that is there, or beside the others.
    let mut message = Vec::new();
    let mut replaced = false;
    for line in BEFORE.split_inclusive(|byte| *byte == b'\n') {
        let is_it = line.len() > name.as_str().len()
            && line.starts_with(name.as_str().as_bytes())
            && line.get(name.as_str().len()) == Some(&b':');
        match is_it {
            true => message.extend_from_slice(&[&field[..], b"\r\n"].concat()),
            false => message.extend_from_slice(line),
        }
        replaced |= is_it;
    }
    if replaced {
        message.extend_from_slice(&AFTER[2..]);
    } else {
        message.extend_from_slice(&field);
        message.extend_from_slice(AFTER);
    }
    check::check(&message);
});
