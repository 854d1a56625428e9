//! Any bytes as a connection's stream: however they are cut, the same frames come out, and they
//! are the stream; and as a message of a WebSocket, which is one SIP message or none.
//!
//! The input's first two bytes say how long the pieces are.
#![no_main]

use offhook_sip::stream::{Frame, Framer, MAX_MESSAGE_BYTES, StreamError, read_whole};

fn frames(stream: &[u8], piece: usize) -> (Vec<Frame>, Option<StreamError>) {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for piece in stream.chunks(piece) {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(framer.buffered_bytes() <= MAX_MESSAGE_BYTES + piece.len());
    }
    (frames, None)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [high, low, stream @ ..] = bytes else {
        return;
    };
    let piece = usize::from(u16::from_be_bytes([*high, *low])).max(1);
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(whole, frames(stream, piece), "cut every {piece} bytes");
    if let Ok(Frame::Message(message)) = read_whole(stream) {
        assert!(message == stream && message.len() <= MAX_MESSAGE_BYTES);
    }
    let mut rest = stream;
    for frame in &whole.0 {
        let bytes: &[u8] = match frame {
            Frame::Message(message) => message,
            Frame::Ping => b"\r\n\r\n",
            Frame::Pong => b"\r\n",
        };
        rest = rest.strip_prefix(bytes).expect("a frame is a part of the stream");
    }
});
