//! Numbers in words and digits.

use super::words::tokens;
use super::{Filled, Reading, SlotContext};
use crate::agent::Completeness;

/// Reads one number.
pub(super) fn read(said: &str, cx: &SlotContext<'_>) -> Reading {
    let words = tokens(said);
    let digits = digit_run(&words);
    if let Some(digits) = digits.filter(|d| d.len() > 1 || cx.length == Some(d.len())) {
        if cx.length.is_some_and(|length| length != digits.len()) {
            return Reading::Nothing;
        }
        let value = match digits.parse::<u64>() {
            Ok(n) if !digits.starts_with('0') && cx.length.is_none() => n.into(),
            _ => serde_json::Value::String(digits.clone()),
        };
        return Reading::Filled(Filled::new(value, spaced(&digits)));
    }
    for at in 0..words.len() {
        if let Some((n, _)) = number_at(&words, at) {
            return Reading::Filled(Filled::new(json_number(n), plain(n)));
        }
    }
    Reading::Nothing
}

pub(super) fn completeness(said: &str, cx: &SlotContext<'_>) -> Completeness {
    let words = tokens(said);
    let run = digit_run(&words).map(|d| d.len()).unwrap_or(0);
    match cx.length {
        Some(length) if run == length => Completeness::Complete,
        Some(length) if run > 0 && run < length => Completeness::Incomplete,
        _ if run > 1 => Completeness::Partial,
        _ if matches!(read(said, cx), Reading::Filled(_)) => Completeness::Open,
        _ => Completeness::Open,
    }
}

/// Returns the value of a single digit's word.
pub(super) fn digit(word: &str) -> Option<char> {
    Some(match word {
        "zero" | "oh" | "o" | "nought" | "nil" => '0',
        "one" => '1',
        "two" => '2',
        "three" => '3',
        "four" => '4',
        "five" => '5',
        "six" => '6',
        "seven" => '7',
        "eight" => '8',
        "nine" | "niner" => '9',
        _ => return None,
    })
}

/// Returns the digits of a text that is read out digit by digit ("four five six"), if it is.
fn digit_run(words: &[String]) -> Option<String> {
    let mut best = String::new();
    let mut run = String::new();
    for word in words {
        let chunk: String = word.chars().filter(|c| !matches!(c, '-')).collect();
        if let Some(digit) = digit(word) {
            run.push(digit);
        } else if chunk.len() > 1 - usize::from(!run.is_empty())
            && chunk.chars().all(|c| c.is_ascii_digit())
        {
            run.push_str(&chunk);
        } else {
            run.clear();
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    (!best.is_empty()).then_some(best)
}

fn small(word: &str) -> Option<u32> {
    const WORDS: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    WORDS
        .iter()
        .position(|w| *w == word)
        .and_then(|n| u32::try_from(n).ok())
}

fn tens(word: &str) -> Option<u32> {
    const WORDS: [&str; 8] = [
        "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    if word == "fourty" {
        return Some(40);
    }
    WORDS
        .iter()
        .position(|w| *w == word)
        .and_then(|n| u32::try_from((n + 2) * 10).ok())
}

fn scale(word: &str) -> Option<f64> {
    Some(match word {
        "thousand" | "thousands" | "grand" | "k" => 1e3,
        "million" | "millions" | "mil" | "mill" | "m" => 1e6,
        "billion" | "bn" => 1e9,
        _ => return None,
    })
}

/// Returns a number below 100 in words ("twenty five") and how many words it took.
pub(super) fn below_hundred(words: &[String], at: usize) -> Option<(u32, usize)> {
    let first = words.get(at)?;
    if let Some(ten) = tens(first) {
        let unit = words
            .get(at + 1)
            .and_then(|w| small(w))
            .filter(|n| (1..10).contains(n));
        return Some(unit.map_or((ten, 1), |n| (ten + n, 2)));
    }
    small(first).map(|n| (n, 1))
}

/// Returns an ordinal ("fifth", "twenty first", "5th") and how many words it took.
pub(super) fn ordinal_at(words: &[String], at: usize) -> Option<(u32, usize)> {
    const WORDS: [&str; 19] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
    ];
    let word = words.get(at)?.as_str();
    let plain = |w: &str| {
        WORDS
            .iter()
            .position(|o| *o == w)
            .and_then(|n| u32::try_from(n + 1).ok())
    };
    if let Some(n) = plain(word) {
        return Some((n, 1));
    }
    match word {
        "twentieth" => return Some((20, 1)),
        "thirtieth" => return Some((30, 1)),
        _ => {}
    }
    if let Some(ten) = tens(word)
        && let Some(unit) = words.get(at + 1).and_then(|w| plain(w)).filter(|n| *n < 10)
    {
        return Some((ten + unit, 2));
    }
    let digits = word.strip_suffix("st").or_else(|| word.strip_suffix("nd"));
    let digits = digits
        .or_else(|| word.strip_suffix("rd"))
        .or_else(|| word.strip_suffix("th"))?;
    digits
        .parse()
        .ok()
        .filter(|n| (1..=31).contains(n))
        .map(|n| (n, 1))
}

/// Reads a digit token with an optional scale letter: "450", "1.2m", "300k".
fn numeric(word: &str) -> Option<f64> {
    let word = word.trim_start_matches(['$', '€', '£', '+']);
    let (digits, by) = match word.chars().last()? {
        'k' => (word.get(..word.len() - 1)?, 1e3),
        'm' => (word.get(..word.len() - 1)?, 1e6),
        _ => (word, 1.0),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    digits
        .parse::<f64>()
        .ok()
        .map(|n| n * by)
        .filter(|n| n.is_finite() && *n < 1e15)
}

/// Reads the number that starts at a word; returns it and how many words it took.
pub(super) fn number_at(words: &[String], at: usize) -> Option<(f64, usize)> {
    let mut sum = Sum::default();
    let mut i = at;
    while let Some(word) = words.get(i) {
        let taken = sum.take(words, i, word);
        if taken == 0 {
            break;
        }
        i += taken;
    }
    sum.value().map(|n| (n, i - at))
}

#[derive(Default)]
struct Sum {
    total: f64,
    current: Option<f64>,
    any: bool,
    /// What the last word multiplied by, if it did: "and" may follow.
    scaled: Option<f64>,
    fresh: bool,
}

impl Sum {
    fn value(&self) -> Option<f64> {
        self.any.then(|| self.total + self.current.unwrap_or(0.0))
    }

    fn take(&mut self, words: &[String], i: usize, word: &str) -> usize {
        let next = words.get(i + 1).map(String::as_str);
        if let (false, "half", Some("a" | "an")) = (self.any, word, next)
            && let Some(by) = words.get(i + 2).and_then(|w| scale(w))
        {
            return self.add(0.5 * by, 3);
        }
        if matches!(word, "a" | "an") && !self.any {
            return match next {
                Some("hundred" | "dozen") => 1,
                Some(next) if scale(next).is_some() && next.len() > 1 => 1,
                _ => 0,
            };
        }
        if word == "dozen" && self.current.is_none_or(|n| n < 100.0) {
            self.total += self.current.take().unwrap_or(1.0) * 12.0;
            self.any = true;
            return 1;
        }
        if word == "hundred" && self.any_or_article(words, i) {
            self.current = Some(self.current.unwrap_or(1.0) * 100.0);
            (self.any, self.scaled, self.fresh) = (true, Some(100.0), false);
            return 1;
        }
        if let Some(by) = scale(word).filter(|_| self.any_or_article(words, i)) {
            self.total += self.current.take().unwrap_or(1.0) * by;
            (self.any, self.scaled, self.fresh) = (true, Some(by), false);
            return 1;
        }
        if let ("and", Some(by)) = (word, self.scaled) {
            let follows = next.is_some_and(|w| small(w).or(tens(w)).is_some());
            // "and half" of "two and a half" is taken below.
            return usize::from(follows && !begins_anew(words, i + 1, by));
        }
        if word == "and"
            && self.any
            && next == Some("a")
            && words.get(i + 2).is_some_and(|w| w == "half")
        {
            self.current = Some(self.current.unwrap_or(0.0) + 0.5);
            return 3;
        }
        if word == "point" && self.any {
            return self.decimals(words, i);
        }
        self.digits_or_words(words, i, word)
    }

    fn any_or_article(&self, words: &[String], i: usize) -> bool {
        self.any
            || i.checked_sub(1)
                .and_then(|p| words.get(p))
                .is_some_and(|w| w == "a" || w == "an")
    }

    fn decimals(&mut self, words: &[String], i: usize) -> usize {
        let mut place = 0.1;
        let mut taken = 0;
        while let Some(digit) = words
            .get(i + 1 + taken)
            .and_then(|w| small(w))
            .filter(|n| *n < 10)
        {
            self.current = Some(self.current.unwrap_or(0.0) + f64::from(digit) * place);
            place /= 10.0;
            taken += 1;
        }
        if taken == 0 { 0 } else { taken + 1 }
    }

    fn digits_or_words(&mut self, words: &[String], i: usize, word: &str) -> usize {
        if let Some(n) = numeric(word) {
            return if self.fresh || (self.any && self.scaled.is_none()) {
                0
            } else {
                self.add(n, 1)
            };
        }
        let Some((n, taken)) = below_hundred(words, i) else {
            return 0;
        };
        if self.scaled.is_some_and(|by| begins_anew(words, i, by)) {
            return 0;
        }
        if self.fresh {
            // "four fifty" is four hundred fifty.
            let colloquial = n >= 10 && self.current.is_some_and(|c| (1.0..100.0).contains(&c));
            if !colloquial {
                return 0;
            }
            self.current = self.current.map(|c| c * 100.0);
        }
        self.add(f64::from(n), taken)
    }

    fn add(&mut self, n: f64, taken: usize) -> usize {
        self.current = Some(self.current.unwrap_or(0.0) + n);
        (self.any, self.scaled, self.fresh) = (true, None, true);
        taken
    }
}

/// Says whether the number at a word is another one rather than the rest of one that was just
/// multiplied: "three hundred and | four hundred thousand", "one million and | two million".
fn begins_anew(words: &[String], at: usize, by: f64) -> bool {
    if by < 1_000.0 {
        let after = below_hundred(words, at).and_then(|(_, taken)| words.get(at + taken));
        return after.is_some_and(|w| w == "hundred");
    }
    number_at(words, at).is_some_and(|(n, _)| n >= by)
}

/// Writes a number as JSON: whole numbers as integers.
pub(super) fn json_number(n: f64) -> serde_json::Value {
    if n.fract() == 0.0 && n.abs() < 1e15 {
        (n as i64).into()
    } else {
        n.into()
    }
}

/// Writes a number for speech: no trailing zeros.
pub(super) fn plain(n: f64) -> String {
    if n.fract() == 0.0 {
        format!("{n:.0}")
    } else {
        format!("{n}")
    }
}

/// Writes digits one by one.
pub(super) fn spaced(digits: &str) -> String {
    digits
        .chars()
        .map(String::from)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::{read_at_ten, with_context};
    use super::*;

    fn number(said: &str) -> Option<serde_json::Value> {
        read_at_ten(SlotKind::Number, said)
            .filled()
            .map(|f| f.value)
    }

    #[test]
    fn numbers_are_read_in_words_and_digits() {
        for (said, want) in [
            ("Twenty-five.", 25.0),
            ("about a hundred and fifty", 150.0),
            ("four hundred fifty thousand", 450_000.0),
            ("half a million", 500_000.0),
            ("one point five million", 1_500_000.0),
            ("1,200", 1200.0),
            ("450k", 450_000.0),
            ("two and a half", 2.5),
            ("a dozen", 12.0),
            ("four fifty", 450.0),
            ("I have three", 3.0),
            ("zero", 0.0),
            ("three hundred and fifty thousand", 350_000.0),
            ("two thousand and four hundred", 2_400.0),
            ("one million two hundred thousand", 1_200_000.0),
        ] {
            assert_eq!(number(said).and_then(|v| v.as_f64()), Some(want), "{said}");
        }
        assert_eq!(number("a lot"), None);
        assert_eq!(number("many thousand"), None);
    }

    #[test]
    fn a_second_number_is_not_a_part_of_the_first() {
        for (said, first) in [
            ("three hundred and four hundred thousand", 300.0),
            ("five hundred six hundred thousand", 500.0),
            (
                "three hundred thousand and four hundred thousand",
                300_000.0,
            ),
            ("one million and two million", 1_000_000.0),
        ] {
            let (n, _) = number_at(&tokens(said), 0).unwrap();
            assert!((n - first).abs() < 0.5, "{said}: {n}");
        }
    }

    #[test]
    fn digits_read_out_one_by_one_stay_digits() {
        assert_eq!(number("four five six seven"), Some(4567.into()));
        assert_eq!(number("oh four two"), Some("042".into()));
    }

    #[test]
    fn a_number_of_fixed_length_is_incomplete_until_it_is_whole() {
        with_context(|cx| {
            let cx = SlotContext {
                length: Some(6),
                ..*cx
            };
            assert_eq!(completeness("one two three", &cx), Completeness::Incomplete);
            assert_eq!(
                completeness("one two three 456", &cx),
                Completeness::Complete
            );
        });
    }
}
