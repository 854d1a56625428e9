//! A recording holds what each party said, each on its side.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Cursor;

use common::{CLEAN, Call, telltale};
use offhook_media::Event;
use offhook_media::wav::StereoWriter;

fn find(sound: &[i16], piece: &[i16]) -> Option<usize> {
    sound
        .windows(piece.len())
        .position(|window| window == piece)
}

#[test]
fn each_party_is_recorded_whole_on_its_own_channel() {
    let mut call = Call::new(1, CLEAN, |_| {});
    call.b.session.set_recording(true);
    let (greeting, answer): (Vec<i16>, Vec<i16>) = (0..2_400)
        .map(|n| (telltale(n), telltale(n + 100_000)))
        .unzip();
    call.run(333);
    let asked = call.now;
    call.b.play_all(call.now, 1, &greeting);
    call.run(700);
    call.a.play_all(call.now, 1, &answer);
    call.run(700);
    let mut writer = StereoWriter::new(Cursor::new(Vec::new()), 8_000).unwrap();
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for (_, event) in &call.b.events {
        if let Event::Recording(frame) = event {
            assert_eq!(frame.rate_hz, 8_000);
            writer.write(8_000, &frame.local, &frame.remote).unwrap();
            local.extend(frame.local);
            remote.extend(frame.remote);
        }
    }
    let said = find(&local, &greeting).unwrap() as u64 / 8;
    let offset = (asked - common::epoch()).as_millis() as u64;
    assert!(said.abs_diff(offset) <= 20, "{said} for {offset}");
    let heard = find(&remote, &answer).unwrap() as u64 / 8;
    // 10 ms on the way, and less than two steps in the buffer.
    assert!((offset + 700..offset + 760).contains(&heard), "{heard}");
    assert!(find(&local, &answer[..100]).is_none() && find(&remote, &greeting[..100]).is_none());
    let file = writer.finish().unwrap().into_inner();
    assert_eq!(file.len(), 44 + local.len() * 4);
    assert_eq!(&file[..4], b"RIFF");
    assert_eq!(&file[22..24], &2u16.to_le_bytes());
}
