//! Server-sent events as a client reads them (WHATWG HTML section 9.2.6), within bounds.

use std::collections::VecDeque;

/// The longest line, in bytes.
const MAX_LINE: usize = 256 * 1024;
/// The longest event's data, in bytes.
const MAX_DATA: usize = 512 * 1024;

/// A line or an event that is longer than any server has reason to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_DATA} bytes")]
pub(super) struct TooLong;

/// Cuts a byte stream into the data of its events, wherever the network cut it.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    after_return: bool,
    /// The first line is behind us, and with it the place of a byte order mark.
    started: bool,
}

impl SseParser {
    /// Takes the next bytes; the data of each event that they complete goes to `events`.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        events: &mut VecDeque<String>,
    ) -> Result<(), TooLong> {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            self.extend(line)?;
            self.end_line(events)?;
            bytes = match rest {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, after @ ..] => after,
                [] => &[],
            };
        }
        self.extend(bytes)
    }

    /// Ends the stream: an event whose empty line never came counts all the same, since servers
    /// forget it after their last.
    pub(super) fn finish(&mut self, events: &mut VecDeque<String>) -> Result<(), TooLong> {
        if !self.line.is_empty() {
            self.end_line(events)?;
        }
        self.dispatch(events);
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > MAX_LINE {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut VecDeque<String>) -> Result<(), TooLong> {
        let bytes = std::mem::take(&mut self.line);
        // Whole lines are decoded, so a character that the network cut in two is whole again.
        let text = String::from_utf8_lossy(&bytes);
        let line = if self.started {
            &*text
        } else {
            text.strip_prefix('\u{feff}').unwrap_or(&text)
        };
        self.started = true;
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        // A line that begins with a colon is a comment: its field is empty and unknown.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field != "data" {
            return Ok(());
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        if self.data.len() + value.len() + 1 > MAX_DATA {
            return Err(TooLong);
        }
        if self.has_data {
            self.data.push('\n');
        }
        self.data.push_str(value);
        self.has_data = true;
        Ok(())
    }

    fn dispatch(&mut self, events: &mut VecDeque<String>) {
        if std::mem::take(&mut self.has_data) {
            events.push_back(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let (mut parser, mut events) = (SseParser::default(), VecDeque::new());
        for chunk in chunks {
            parser.feed(chunk, &mut events).unwrap();
        }
        parser.finish(&mut events).unwrap();
        events.into()
    }

    #[test]
    fn comments_other_fields_and_empty_events_are_passed_over() {
        let text = b"\xef\xbb\xbf: hello\nevent: x\nid: 1\n\n\ndata: a\n\n:\nretry: 5\ndata:b\n\n";
        assert_eq!(read(&[text]), ["a", "b"]);
    }

    #[test]
    fn data_of_several_lines_is_joined() {
        assert_eq!(read(&[b"data: a\ndata:\ndata:  b\n\n"]), ["a\n\n b"]);
        assert_eq!(read(&[b"data\n\n"]), [""]);
    }

    #[test]
    fn every_line_end_counts_once_even_when_it_is_cut() {
        assert_eq!(read(&[b"data: a\r", b"\n\r\n", b"data: b\r\r"]), ["a", "b"]);
        assert_eq!(read(&[b"data: a\r", b"", b"\ndata: c\n\n"]), ["a\nc"]);
    }

    #[test]
    fn an_event_without_its_empty_line_counts_at_the_end() {
        assert_eq!(read(&[b"data: a\n\ndata: [DONE]"]), ["a", "[DONE]"]);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let (mut parser, mut events) = (SseParser::default(), VecDeque::new());
        let chunk = [b'x'; 1_024];
        let refused = (0..1_024).find(|_| parser.feed(&chunk, &mut events).is_err());
        assert_eq!(refused, Some(MAX_LINE / 1_024));
        let (mut parser, line) = (
            SseParser::default(),
            [b"data:".as_slice(), &[b'x'; 1_000], b"\n"].concat(),
        );
        let refused = (0..2_000)
            .find(|_| parser.feed(&line, &mut events).is_err())
            .unwrap();
        assert!(refused <= MAX_DATA / 1_000);
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_changes_nothing(
            text in "(data: [aä€😀]{0,5}(\r\n|\n|\r)|\r\n|\n|: x\n){0,12}",
            cuts in proptest::collection::vec(0_usize..80, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(read(&chunks), read(&[bytes]));
        }
    }
}
