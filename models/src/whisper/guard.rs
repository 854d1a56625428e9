//! Guards against Whisper's failure on short context: saying the same over and over.

use std::io::Write;

/// Longest phrase, in tokens, whose repetition is noticed.
const LONGEST_PHRASE: usize = 16;
/// How often a phrase stands at the end before it counts as a loop; digits and "no no no" do
/// not come this often.
const REPEATS: usize = 4;
/// How many tokens such a tail has at least.
const SHORTEST_TAIL: usize = 10;
/// Longest sound, in samples, in which a word said twice was said once.
const ECHO_WINDOW: usize = crate::mel::SAMPLE_RATE * 3 / 2;
/// Tokens of such a word and its full stop; "no no" has none.
const SHORTEST_ECHO: usize = 2;
/// Text that deflates more than this repeats itself (Radford et al. 2022, section 4.5).
const MOST_COMPRESSION: f32 = 2.4;

/// Returns the length of `tokens` up to the first round of a phrase that repeats at the end.
pub(super) fn before_loop(tokens: &[u32]) -> Option<usize> {
    (1..=LONGEST_PHRASE).find_map(|phrase| {
        let tail = (phrase * REPEATS).max(SHORTEST_TAIL);
        let start = tokens.len().checked_sub(tail)?;
        let tail = tokens.get(start..)?;
        let later = tail.get(phrase..)?;
        let repeats = later
            .iter()
            .zip(tail)
            .all(|(later, earlier)| later == earlier);
        repeats.then_some(start + phrase)
    })
}

/// Tells whether a text repeats itself as a whole.
pub(super) fn repeats_itself(text: &str) -> bool {
    let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let deflated = deflater
        .write_all(text.as_bytes())
        .and_then(|()| deflater.finish());
    let length = deflated.map_or(text.len(), |deflated| deflated.len());
    text.len() as f32 > MOST_COMPRESSION * length as f32
}

/// Returns the length of a single word that was written twice, as the model does with one in a short
/// window ("Tomorrow. Tomorrow."): nobody says it twice with a stop between in so little time, and
/// who says "No. No." means no more by it.
pub(super) fn before_echo(tokens: &[u32], samples: usize) -> Option<usize> {
    let (first, second) = tokens.split_at_checked(tokens.len() / 2)?;
    let is_echo = samples <= ECHO_WINDOW && first.len() >= SHORTEST_ECHO && first == second;
    is_echo.then_some(first.len())
}

/// Returns how many tokens speech of this length may have: fast English is some 6 a second.
pub(super) fn most_tokens(samples: usize) -> usize {
    12 + 9 * samples / crate::mel::SAMPLE_RATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_said_over_and_over_is_cut_to_its_first_round() {
        let spoken = [7, 8, 9];
        let phrase = [1, 2, 3, 4];
        let tokens: Vec<u32> = spoken.into_iter().chain(phrase.repeat(4)).collect();
        assert_eq!(before_loop(&tokens), Some(7));
    }

    #[test]
    fn a_number_with_equal_digits_is_no_loop() {
        assert_eq!(before_loop(&[5, 5, 5, 5, 5, 5, 5, 5, 5]), None);
        assert_eq!(before_loop(&[1, 2, 1, 2, 1, 2]), None);
    }

    #[test]
    fn repetition_shows_in_the_compression() {
        assert!(repeats_itself(&"I'm sorry, I'm sorry. ".repeat(12)));
        assert!(!repeats_itself("Ask not what your country can do for you."));
    }

    #[test]
    fn a_word_written_twice_in_a_short_window_counts_once() {
        let (short, long) = (ECHO_WINDOW, ECHO_WINDOW + 1);
        assert_eq!(before_echo(&[1400, 13, 1400, 13], short), Some(2));
        assert_eq!(before_echo(&[1400, 13, 1400, 13], long), None);
        for other in [
            &[][..],
            &[1400],
            &[645, 645],
            &[1400, 13, 3363, 13],
            &[1, 2, 1],
        ] {
            assert_eq!(before_echo(other, short), None, "{other:?}");
        }
    }
}
