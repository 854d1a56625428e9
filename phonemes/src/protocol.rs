//! What the two sides of the pipe say, version 1.
//!
//! The program speaks first, one line, as soon as it can serve:
//!
//! ```text
//! offhook-phonemes 1 ok 1.52.0
//! offhook-phonemes 1 error no libespeak-ng in /somewhere
//! ```
//!
//! (the second, and then it ends, when it cannot). A request is a line with an id of the asker's
//! choice, a voice's name and the length of the text in bytes, followed by exactly that many bytes
//! of UTF-8; the answer has the same shape and comes in the order of the requests, so any number of
//! them may be on their way:
//!
//! ```text
//! 7 en-us 12
//! Hello world.
//! 7 ok 20
//! həlˈoʊ wˈɜːld
//! ```
//!
//! (the newline that shows after the text here belongs to the reply only: each reply's bytes are
//! followed by one). A text longer than [`TEXT_LIMIT`] is skipped and answered `error`, as is one
//! that is not UTF-8, or an unknown voice. A line that is no request leaves no way to tell where
//! the next one starts: the program answers `0 error …` and ends with status 2.

use std::io::{self, BufRead, Read, Write};

/// The longest text of one request, in bytes.
pub(crate) const TEXT_LIMIT: usize = 4096;
/// The longest text that is read past and refused, in bytes; beyond it the line is no request.
const SKIP_LIMIT: usize = 1 << 20;
/// The longest request line, in bytes, its newline included.
const LINE_LIMIT: usize = 128;
const VERSION: u32 = 1;

/// Why serving ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The asker closed its side.
    InputClosed,
    /// Something came that is no request.
    Unframed,
}

struct Request {
    id: u64,
    voice: String,
    length: usize,
}

/// Says that requests may come.
pub(crate) fn write_hello(output: &mut impl Write, engine: &str) -> io::Result<()> {
    writeln!(output, "offhook-phonemes {VERSION} ok {engine}")?;
    output.flush()
}

/// Says why no request will be served.
pub(crate) fn write_refusal(output: &mut impl Write, reason: &str) -> io::Result<()> {
    let reason = reason.replace('\n', " ");
    writeln!(output, "offhook-phonemes {VERSION} error {reason}")?;
    output.flush()
}

/// Answers requests with `engine(voice, text)` until the input ends.
pub(crate) fn serve(
    input: &mut impl BufRead,
    output: &mut impl Write,
    mut engine: impl FnMut(&str, &str) -> Result<String, String>,
) -> io::Result<End> {
    loop {
        let request = match read_request(input)? {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(End::InputClosed),
            Err(reason) => {
                write_reply(output, 0, Err(reason))?;
                return Ok(End::Unframed);
            }
        };
        let Some(answer) = answer(input, &request, &mut engine)? else {
            return Ok(End::InputClosed);
        };
        write_reply(
            output,
            request.id,
            answer.as_deref().map_err(String::as_str),
        )?;
    }
}

/// Reads a request's text and asks the engine; `None` when the input ended within the text.
fn answer(
    input: &mut impl BufRead,
    request: &Request,
    engine: &mut impl FnMut(&str, &str) -> Result<String, String>,
) -> io::Result<Option<Result<String, String>>> {
    if request.length > TEXT_LIMIT {
        let length = request.length as u64;
        let skipped = io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
        let refusal = format!("a text of {length} bytes is over the {TEXT_LIMIT} allowed");
        return Ok((skipped == length).then_some(Err(refusal)));
    }
    let mut text = Vec::with_capacity(request.length);
    input
        .by_ref()
        .take(request.length as u64)
        .read_to_end(&mut text)?;
    if text.len() < request.length {
        return Ok(None);
    }
    Ok(Some(match String::from_utf8(text) {
        Ok(text) => engine(&request.voice, &text),
        Err(_) => Err("the text is not UTF-8".to_owned()),
    }))
}

/// Reads a request's line: outer error for the pipe, inner for a line that is no request.
fn read_request(input: &mut impl BufRead) -> io::Result<Result<Option<Request>, &'static str>> {
    let mut line = Vec::new();
    input
        .by_ref()
        .take(LINE_LIMIT as u64)
        .read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(Ok(None));
    }
    Ok(parse_request(&line)
        .map(Some)
        .ok_or("not a request: ID VOICE LENGTH"))
}

fn parse_request(line: &[u8]) -> Option<Request> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let voice = words.next().filter(|voice| !voice.is_empty())?.to_owned();
    let length = words
        .next()?
        .parse()
        .ok()
        .filter(|length| *length <= SKIP_LIMIT)?;
    words
        .next()
        .is_none()
        .then_some(Request { id, voice, length })
}

fn write_reply(output: &mut impl Write, id: u64, reply: Result<&str, &str>) -> io::Result<()> {
    let (word, body) = match reply {
        Ok(phonemes) => ("ok", phonemes),
        Err(reason) => ("error", reason),
    };
    writeln!(output, "{id} {word} {}\n{body}", body.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(input: &[u8]) -> (End, String) {
        let mut output = Vec::new();
        let end = serve(&mut &input[..], &mut output, |voice, text| match voice {
            "en-us" => Ok(text.to_uppercase()),
            other => Err(format!("no voice {other}")),
        });
        (end.unwrap(), String::from_utf8(output).unwrap())
    }

    #[test]
    fn requests_are_answered_in_their_order() {
        let (end, output) = run(b"1 en-us 5\nhello2 en-us 3\nyou");
        assert_eq!(output, "1 ok 5\nHELLO\n2 ok 3\nYOU\n");
        assert_eq!(end, End::InputClosed);
    }

    #[test]
    fn an_unknown_voice_is_an_error_and_serving_goes_on() {
        let (end, output) = run(b"1 xx 5\nhello2 en-us 3\nyou");
        assert_eq!(output, "1 error 11\nno voice xx\n2 ok 3\nYOU\n");
        assert_eq!(end, End::InputClosed);
    }

    #[test]
    fn a_text_over_the_limit_is_skipped_and_refused() {
        let mut input = format!("1 en-us {}\n", TEXT_LIMIT + 1).into_bytes();
        input.extend(std::iter::repeat_n(b'a', TEXT_LIMIT + 1));
        input.extend(b"2 en-us 3\nyou");
        let (end, output) = run(&input);
        assert!(output.starts_with("1 error "), "{output}");
        assert!(output.ends_with("2 ok 3\nYOU\n"), "{output}");
        assert_eq!(end, End::InputClosed);
    }

    #[test]
    fn a_text_that_is_not_utf8_is_refused() {
        let (_, output) = run(b"1 en-us 2\n\xff\xfe2 en-us 3\nyou");
        assert!(output.starts_with("1 error "), "{output}");
        assert!(output.ends_with("2 ok 3\nYOU\n"), "{output}");
    }

    #[test]
    fn a_line_that_is_no_request_ends_the_service() {
        for line in [
            "hello\n",
            "1 en-us\n",
            "1 en-us x\n",
            "1 en-us 9999999999\n",
            "-1 a 1\n",
        ] {
            let (end, output) = run(line.as_bytes());
            assert_eq!(end, End::Unframed, "{line:?}");
            assert!(output.starts_with("0 error "), "{output}");
        }
        let (end, _) = run(&[b'1'; 4000]);
        assert_eq!(end, End::Unframed);
    }

    #[test]
    fn input_that_ends_within_a_text_ends_the_service_quietly() {
        assert_eq!(run(b"1 en-us 50\nhello"), (End::InputClosed, String::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(input in prop::collection::vec(any::<u8>(), 0..600)) {
            run(&input);
        }
    }
}
