//! Times of the day in words and digits.

use super::number::below_hundred;

/// Holds a time on the clock's face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// 0 to 23; up to 12 it may still be either half of the day.
    pub(super) hour: i8,
    pub(super) minute: i8,
    /// After noon, if that was said.
    pub(super) pm: Option<bool>,
}

/// Reads a time that is plainly one: with "at", a meridiem, minutes, or "o'clock".
pub(super) fn clock_at(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let word = |n: usize| words.get(n).map(String::as_str).unwrap_or_default();
    match word(at) {
        "noon" | "midday" => {
            return Some((
                Clock {
                    hour: 12,
                    minute: 0,
                    pm: Some(true),
                },
                1,
            ));
        }
        "midnight" => {
            return Some((
                Clock {
                    hour: 12,
                    minute: 0,
                    pm: Some(false),
                },
                1,
            ));
        }
        _ => {}
    }
    let announced = matches!(word(at), "at" | "around" | "about" | "by" | "after" | "say");
    let start = at + usize::from(announced);
    let (mut clock, taken, plain) = past_or_to(words, start)
        .map(|(clock, taken)| (clock, taken, false))
        .or_else(|| face(words, start))?;
    let mut end = start + taken;
    let mut evident = announced || !plain;
    if matches!(word(end), "o'clock" | "oclock") {
        end += 1;
        evident = true;
    }
    if matches!(word(end), "am" | "pm") {
        clock.pm = Some(word(end) == "pm");
        end += 1;
        evident = true;
    }
    let part_follows = word(end) == "in" && word(end + 1) == "the";
    evident |= part_follows && matches!(word(end + 2), "morning" | "afternoon" | "evening");
    evident.then_some((clock, end - at))
}

/// Reads an hour that only the context makes one.
pub(super) fn bare_hour(words: &[String], at: usize) -> Option<Clock> {
    let (clock, ..) = face(words, at)?;
    (1..=12).contains(&clock.hour).then_some(clock)
}

/// Reads "half past ten", "quarter to five", "ten past four", "half ten".
fn past_or_to(words: &[String], at: usize) -> Option<(Clock, usize)> {
    let word = |n: usize| words.get(n).map(String::as_str).unwrap_or_default();
    let article = usize::from(matches!(word(at), "a"));
    let start = at + article;
    let (minutes, taken) = match word(start) {
        "half" => (30, 1),
        "quarter" => (15, 1),
        _ => {
            let (n, taken) =
                below_hundred(words, start).or_else(|| numeral(word(start)).map(|n| (n, 1)))?;
            (i8::try_from(n).ok().filter(|n| (1..60).contains(n))?, taken)
        }
    };
    let after = start + taken;
    let after = after + usize::from(matches!(word(after), "minutes" | "minute"));
    let (joint, back) = match word(after) {
        "past" | "after" => (1, false),
        "to" | "of" | "before" | "till" => (1, true),
        _ if word(start) == "half" => (0, false),
        _ => return None,
    };
    let (hour, used) = hour(words, after + joint)?;
    let used = after + joint + used - at;
    let clock = match back {
        true => Clock {
            hour: if hour == 1 { 12 } else { hour - 1 },
            minute: 60 - minutes,
            pm: None,
        },
        false => Clock {
            hour,
            minute: minutes,
            pm: None,
        },
    };
    Some((clock, used))
}

fn hour(words: &[String], at: usize) -> Option<(i8, usize)> {
    let word = words.get(at)?;
    let n = below_hundred(words, at).or_else(|| numeral(word).map(|n| (n, 1)))?;
    i8::try_from(n.0)
        .ok()
        .filter(|h| (1..=12).contains(h))
        .map(|h| (h, n.1))
}

/// Reads "3", "3pm", "10:30", "1530", "three", "three thirty", "nine oh five"; says as third
/// whether it is a plain hour.
fn face(words: &[String], at: usize) -> Option<(Clock, usize, bool)> {
    let word = words.get(at)?.as_str();
    if let Some((clock, plain)) = digits(word) {
        return Some((clock, 1, plain));
    }
    let (n, taken) = below_hundred(words, at)?;
    let hour = i8::try_from(n).ok().filter(|h| (1..=12).contains(h))?;
    let next = words
        .get(at + taken)
        .map(String::as_str)
        .unwrap_or_default();
    let minutes = match next {
        "oh" | "o" => below_hundred(words, at + taken + 1)
            .filter(|(n, _)| *n < 10)
            .map(|(n, t)| (n, t + 1)),
        _ => below_hundred(words, at + taken).filter(|(n, _)| (10..60).contains(n)),
    };
    match minutes.and_then(|(n, used)| Some((i8::try_from(n).ok()?, used))) {
        Some((minute, used)) => Some((
            Clock {
                hour,
                minute,
                pm: None,
            },
            taken + used,
            false,
        )),
        None => Some((
            Clock {
                hour,
                minute: 0,
                pm: None,
            },
            taken,
            true,
        )),
    }
}

fn digits(word: &str) -> Option<(Clock, bool)> {
    let (body, pm) = match (word.strip_suffix("pm"), word.strip_suffix("am")) {
        (Some(body), _) => (body, Some(true)),
        (_, Some(body)) => (body, Some(false)),
        _ => (word, None),
    };
    let (hour, minute, plain) = match body.split_once([':', '.']) {
        Some((hour, minute)) if minute.len() == 2 => {
            (hour.parse().ok()?, minute.parse().ok()?, false)
        }
        Some(_) => return None,
        None if matches!(body.len(), 3 | 4) && body.chars().all(|c| c.is_ascii_digit()) => {
            let (hour, minute) = body.split_at(body.len() - 2);
            (hour.parse().ok()?, minute.parse().ok()?, true)
        }
        None => (body.parse::<i8>().ok()?, 0, true),
    };
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute);
    fits.then_some((Clock { hour, minute, pm }, plain && pm.is_none()))
}

fn numeral(word: &str) -> Option<u32> {
    word.parse().ok().filter(|n| *n < 60)
}
