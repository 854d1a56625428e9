//! Phone numbers, spoken or keyed.

use super::number::{below_hundred, digit, spaced};
use super::words::{has, tokens};
use super::{Filled, Missing, Reading, SlotContext};
use crate::agent::Completeness;

/// Reads a phone number into E.164.
pub(super) fn read(said: &str, cx: &SlotContext<'_>) -> Reading {
    let words = phone_words(said);
    if own_number(&words) {
        let own = cx.variables.text("caller_phone");
        if !own.is_empty() {
            return Reading::Filled(filled(own));
        }
    }
    let dialled = dialled(&words);
    if dialled.digits.is_empty() {
        return Reading::Nothing;
    }
    let earlier = cx.carry.and_then(|c| c.as_str()).unwrap_or_default();
    if let Some(number) = e164(&dialled, cx.country_code) {
        return Reading::Filled(filled(number));
    }
    let joined = Dialled {
        digits: format!("{earlier}{}", dialled.digits),
        ..dialled
    };
    if !earlier.is_empty()
        && let Some(number) = e164(&joined, cx.country_code)
    {
        return Reading::Filled(filled(number));
    }
    Reading::Partial {
        spoken: spaced(&joined.digits),
        carry: joined.digits.chars().take(15).collect::<String>().into(),
        missing: Missing::Digits,
    }
}

pub(super) fn completeness(said: &str, cx: &SlotContext<'_>) -> Completeness {
    let words = tokens(said);
    match read(said, cx) {
        Reading::Filled(_) => Completeness::Complete,
        Reading::Partial { .. } => Completeness::Incomplete,
        Reading::Nothing if has(&words, "number is") => Completeness::Incomplete,
        Reading::Nothing => Completeness::Open,
    }
}

/// Splits what a recogniser joined: "555-oh-one-two-three".
fn phone_words(said: &str) -> Vec<String> {
    let words = tokens(said).into_iter().flat_map(|word| {
        let mixed = word.contains('-') && word.contains(char::is_alphabetic);
        let parts: Vec<String> = match mixed {
            true => word.split('-').map(str::to_owned).collect(),
            false => vec![word],
        };
        parts
    });
    words.filter(|w| !w.is_empty()).collect()
}

fn own_number(words: &[String]) -> bool {
    [
        "this number",
        "this one",
        "same number",
        "number i'm calling from",
        "i'm calling from",
        "i am calling from",
        "calling from now",
        "the one i called from",
    ]
    .iter()
    .any(|p| has(words, p))
}

struct Dialled {
    digits: String,
    international: bool,
}

fn dialled(words: &[String]) -> Dialled {
    let mut digits = String::new();
    let mut international = false;
    let mut repeat = 1;
    let mut i = 0;
    while let Some(word) = words.get(i) {
        i += 1;
        match word.as_str() {
            "double" => repeat = 2,
            "triple" | "treble" => repeat = 3,
            "plus" if digits.is_empty() => international = true,
            "hundred" => digits.push_str("00"),
            "thousand" => digits.push_str("000"),
            _ => {
                if word.starts_with('+') && digits.is_empty() {
                    international = true;
                }
                let (chunk, taken) = chunk(words, i - 1, !digits.is_empty());
                for _ in 0..repeat {
                    digits.push_str(&chunk);
                }
                repeat = 1;
                i += taken.saturating_sub(1);
            }
        }
    }
    Dialled {
        digits,
        international,
    }
}

/// Reads the digits at a word: "five", "5", "555-0123", "fifteen", "twenty three".
fn chunk(words: &[String], at: usize, inside: bool) -> (String, usize) {
    let Some(word) = words.get(at) else {
        return (String::new(), 1);
    };
    if let Some(digit) = digit(word).or_else(|| homophone(words, at, inside)) {
        return (digit.to_string(), 1);
    }
    if let Some((n, taken)) = below_hundred(words, at).filter(|(n, _)| *n >= 10) {
        return (n.to_string(), taken);
    }
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    let others = word.chars().filter(|c| c.is_alphabetic()).count();
    if others > 0 {
        (String::new(), 1)
    } else {
        (digits, 1)
    }
}

/// Reads "for" as 4 and its like, but only between digits.
fn homophone(words: &[String], at: usize, inside: bool) -> Option<char> {
    let digit_like = |w: Option<&String>| {
        w.is_some_and(|w| digit(w).is_some() || w.chars().all(|c| c.is_ascii_digit()))
    };
    let next = digit_like(words.get(at + 1));
    let previous = inside && at.checked_sub(1).is_some_and(|p| digit_like(words.get(p)));
    if !(next || previous) || !inside {
        return None;
    }
    Some(match words.get(at)?.as_str() {
        "for" | "fore" => '4',
        "to" | "too" => '2',
        "won" => '1',
        "ate" => '8',
        "tree" => '3',
        "sex" | "sicks" => '6',
        _ => return None,
    })
}

/// Completes a dialled number to E.164, if it has a plausible length.
fn e164(dialled: &Dialled, country_code: &str) -> Option<String> {
    let digits = dialled.digits.as_str();
    if dialled.international {
        return (8..=15)
            .contains(&digits.len())
            .then(|| format!("+{digits}"));
    }
    if let Some(rest) = digits
        .strip_prefix("00")
        .filter(|r| (9..=15).contains(&r.len()))
    {
        return Some(format!("+{rest}"));
    }
    if country_code == "1" {
        let national = digits
            .strip_prefix('1')
            .filter(|d| d.len() == 10)
            .unwrap_or(digits);
        return (national.len() == 10).then(|| format!("+1{national}"));
    }
    let national = digits.strip_prefix('0').unwrap_or(digits);
    let whole = national
        .strip_prefix(country_code)
        .filter(|r| r.len() >= 8)
        .unwrap_or(national);
    (7..=12)
        .contains(&whole.len())
        .then(|| format!("+{country_code}{whole}"))
}

fn filled(number: String) -> Filled {
    let digits = number.trim_start_matches('+');
    let national = digits.strip_prefix('1').filter(|d| d.len() == 10);
    let spoken = match national {
        Some(n) => {
            let parts = [n.get(..3), n.get(3..6), n.get(6..)];
            parts
                .into_iter()
                .flatten()
                .map(spaced)
                .collect::<Vec<_>>()
                .join(", ")
        }
        None => {
            let all: Vec<char> = digits.chars().collect();
            let groups = all.chunks(3).map(|g| spaced(&g.iter().collect::<String>()));
            format!("plus {}", groups.collect::<Vec<_>>().join(", "))
        }
    };
    Filled::new(number, spoken)
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::{read_at_ten, with_context};
    use super::*;

    fn phone(said: &str) -> Option<String> {
        let filled = read_at_ten(SlotKind::Phone, said).filled()?;
        filled.value.as_str().map(str::to_owned)
    }

    #[test]
    fn numbers_are_read_as_people_say_them() {
        for said in [
            "415-555-0123",
            "(415) 555-0123.",
            "It's 4-1-5-5-5-5-0-1-2-3",
            "four one five, five five five, oh one two three",
            "four one five triple five zero one two three",
            "area code 415 then 555 01 23",
            "415-555-oh-one-two-three",
            "my number is plus one four fifteen five five five zero one twenty three",
            "one four one five, double five five, oh one two three",
            "the number I'm calling from",
            "You can use this number",
        ] {
            assert_eq!(phone(said).as_deref(), Some("+14155550123"), "{said}");
        }
        assert_eq!(
            phone("eight hundred 555 0199").as_deref(),
            Some("+18005550199")
        );
        assert_eq!(phone("+44 20 7946 0958").as_deref(), Some("+442079460958"));
        assert_eq!(phone("I'd rather not"), None);
    }

    #[test]
    fn half_a_number_is_incomplete_and_may_be_completed() {
        with_context(|cx| {
            assert_eq!(completeness("415 555", cx), Completeness::Incomplete);
            assert_eq!(
                completeness("four one five five five five oh one two three", cx),
                Completeness::Complete
            );
            let Reading::Partial { carry, missing, .. } = read("four one five five five five", cx)
            else {
                panic!("partial");
            };
            assert_eq!(missing, Missing::Digits);
            let cx = SlotContext {
                carry: Some(&carry),
                ..*cx
            };
            let rest = read("oh one two three", &cx).filled().unwrap();
            assert_eq!(rest.value, "+14155550123");
        });
    }

    #[test]
    fn read_back_is_in_groups() {
        let filled = read_at_ten(SlotKind::Phone, "4155550123").filled().unwrap();
        assert_eq!(filled.spoken, "4 1 5, 5 5 5, 0 1 2 3");
    }
}
