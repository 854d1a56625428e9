//! Dates and times of day.

use super::lexicon::MONTHS;
use super::numbers::{cardinal, ordinal, year};
use super::scan::{ends_word, letters_len, skip_blanks, small, split_digits, strip_ignoring_case};
use super::{Place, Spoken};

/// Reads `2026-11-23`, `2026-11-23T14:30`, `11/23/2026`, `Nov. 23, 2026` and `23 November 2026`.
pub(super) fn date(_: &Place<'_>, text: &str) -> Option<Spoken> {
    iso(text)
        .or_else(|| slashed(text))
        .or_else(|| month_first(text))
        .or_else(|| day_first(text))
}

fn said_date(month: u64, day: u64, in_year: u64) -> Option<String> {
    Some(format!(
        "{} {}, {}",
        month_name(month)?,
        ordinal(day),
        year(in_year)
    ))
}

fn month_name(month: u64) -> Option<&'static str> {
    let index = usize::try_from(month).ok()?.checked_sub(1)?;
    MONTHS.get(index).map(|(name, _)| *name)
}

fn is_day(day: u64) -> bool {
    (1..=31).contains(&day)
}

fn iso(text: &str) -> Option<Spoken> {
    let (in_year, rest) = small(text, 4).filter(|(value, _)| *value >= 1000)?;
    let (month, rest) = small(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = small(rest.strip_prefix('-')?, 2).filter(|(day, _)| is_day(*day))?;
    let date = said_date(month, day, in_year)?;
    // RFC 3339: a time may follow, with seconds, a fraction and a zone that nobody says.
    if let Some(time) = rest.strip_prefix('T')
        && let Some((hour, minute, after)) = clock(time)
    {
        let after = after.strip_prefix('Z').unwrap_or(after);
        let after = zone_offset(after).unwrap_or(after);
        let said = format!("{date} at {}", half_day_time(hour, minute));
        return Spoken::words(said, text.len() - after.len());
    }
    if !ends_word(rest) {
        return None;
    }
    Spoken::words(date, text.len() - rest.len())
}

fn zone_offset(text: &str) -> Option<&str> {
    let (_, rest) = small(text.strip_prefix(['+', '-'])?, 2)?;
    Some(small(rest.strip_prefix(':')?, 2)?.1)
}

/// American order: month, day, year; a first number over 12 can only be a day.
fn slashed(text: &str) -> Option<Spoken> {
    let (first, rest) = small(text, 2)?;
    let mark = rest
        .chars()
        .next()
        .filter(|c| matches!(c, '/' | '.' | '-'))?;
    let (second, rest) = small(rest.strip_prefix(mark)?, 2)?;
    let (digits, rest) = split_digits(rest.strip_prefix(mark)?);
    let written: u64 = digits.parse().ok()?;
    let in_year = match (digits.len(), written) {
        (4, 1000..) => written,
        (2, 0..=68) if mark == '/' => 2000 + written,
        (2, _) if mark == '/' => 1900 + written,
        _ => return None,
    };
    let (month, day) = if first > 12 {
        (second, first)
    } else {
        (first, second)
    };
    if !is_day(day) || !ends_word(rest) {
        return None;
    }
    Spoken::words(said_date(month, day, in_year)?, text.len() - rest.len())
}

/// Splits a month's name or its abbreviation off the beginning.
fn month(text: &str) -> Option<(&'static str, &str)> {
    let (word, rest) = text.split_at(letters_len(text));
    if !word.starts_with(char::is_uppercase) {
        return None;
    }
    let full = MONTHS.iter().find(|(name, short)| {
        name.eq_ignore_ascii_case(word)
            || short.eq_ignore_ascii_case(word)
            || (*name == "September" && word == "Sept")
    })?;
    let abbreviated = word.len() < full.0.len();
    Some((
        full.0,
        if abbreviated {
            rest.strip_prefix('.').unwrap_or(rest)
        } else {
            rest
        },
    ))
}

fn month_first(text: &str) -> Option<Spoken> {
    let (name, rest) = month(text)?;
    let rest = rest.strip_prefix(' ')?;
    if let Some((number, after)) = small(rest, 2).filter(|(day, _)| is_day(*day)) {
        let after = ordinal_ending(after);
        if !ends_word(after) || after.starts_with(':') {
            return None;
        }
        let (said, after) = with_year(format!("{name} {}", ordinal(number)), after);
        return Spoken::number(said, text.len() - after.len());
    }
    let (in_year, after) = small(rest, 4).filter(|(value, _)| (1000..=2999).contains(value))?;
    if !ends_word(after) {
        return None;
    }
    Spoken::words(
        format!("{name} {}", year(in_year)),
        text.len() - after.len(),
    )
}

fn day_first(text: &str) -> Option<Spoken> {
    let (day, rest) = small(text, 2).filter(|(day, _)| is_day(*day))?;
    let rest = ordinal_ending(rest).strip_prefix(' ')?;
    let (name, rest) = month(rest.strip_prefix("of ").unwrap_or(rest))?;
    if !ends_word(rest) {
        return None;
    }
    let (said, rest) = with_year(format!("{} of {name}", ordinal(day)), rest);
    Spoken::words(said, text.len() - rest.len())
}

fn ordinal_ending(text: &str) -> &str {
    let ending = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| text.strip_prefix(end));
    ending.unwrap_or(text)
}

/// Adds a year that follows a date, with or without a comma.
fn with_year(date: String, rest: &str) -> (String, &str) {
    let after = rest.strip_prefix(',').unwrap_or(rest);
    let found = after
        .strip_prefix(' ')
        .and_then(|after| small(after, 4))
        .filter(|(value, after)| (1000..=2999).contains(value) && ends_word(after));
    match found {
        Some((value, after)) => (format!("{date}, {}", year(value)), after),
        None => (date, rest),
    }
}

/// Reads `14:30:00.5` and gives hour, minute and the rest.
fn clock(text: &str) -> Option<(u64, u64, &str)> {
    let (hour, rest) = small(text, 2).filter(|(hour, _)| *hour <= 24)?;
    let rest = rest.strip_prefix(':')?;
    let (digits, rest) = split_digits(rest);
    let minute = digits
        .parse()
        .ok()
        .filter(|minute| digits.len() == 2 && *minute < 60)?;
    let seconds = rest.strip_prefix(':').and_then(|after| small(after, 2));
    let rest = seconds.map_or(rest, |(_, after)| after);
    let fraction = rest.strip_prefix('.').map(split_digits);
    let rest = fraction
        .filter(|(digits, _)| !digits.is_empty())
        .map_or(rest, |(_, after)| after);
    Some((hour, minute, rest))
}

/// Reads `9:05`, `2:30 pm`, `5pm`, `14:30`.
pub(super) fn time(place: &Place<'_>, text: &str) -> Option<Spoken> {
    if let Some((hour, minute, rest)) = clock(text) {
        if !ends_word(half_of_day(rest).map_or(rest, |(_, rest)| rest)) {
            return None;
        }
        if let Some((half, rest)) = half_of_day(rest).filter(|_| (1..=12).contains(&hour)) {
            let said = format!("{} {half}", hour_and_minute(hour, minute));
            return Spoken::number(said, text.len() - rest.len());
        }
        let said = match hour {
            1..=12 if minute == 0 => format!("{} o'clock", cardinal(hour)),
            1..=12 => hour_and_minute(hour, minute),
            _ => half_day_time(hour, minute),
        };
        return Spoken::number(said, text.len() - rest.len());
    }
    let (hour, rest) = small(text, 2).filter(|(hour, _)| (1..=12).contains(hour))?;
    let (half, after) = half_of_day(rest).filter(|(_, after)| ends_word(after))?;
    // "I am 5 am I" is no sentence; a lower-case "am" after a blank is trusted all the same.
    let _ = place;
    Spoken::number(
        format!("{} {half}", cardinal(hour)),
        text.len() - after.len(),
    )
}

/// Reads `am`, ` PM`, ` p.m.` and gives how it is said.
fn half_of_day(text: &str) -> Option<(&'static str, &str)> {
    let text = skip_blanks(text, 1);
    let (said, rest) = match strip_ignoring_case(text, "a") {
        Some(rest) => ("A.M", rest),
        None => ("P.M", strip_ignoring_case(text, "p")?),
    };
    if let Some(rest) = strip_ignoring_case(rest, ".m") {
        // The last point may end the sentence as well: the caller's text goes on after it.
        let ends = rest
            .strip_prefix('.')
            .filter(|after| !after.trim_start().is_empty());
        return Some((said, ends.unwrap_or(rest)));
    }
    Some((said, strip_ignoring_case(rest, "m")?))
}

fn hour_and_minute(hour: u64, minute: u64) -> String {
    let hour = cardinal(hour);
    match minute {
        0 => hour,
        1..=9 => format!("{hour} oh {}", cardinal(minute)),
        _ => format!("{hour} {}", cardinal(minute)),
    }
}

/// Says a time of the 24-hour clock as Americans do.
fn half_day_time(hour: u64, minute: u64) -> String {
    match (hour % 24, minute) {
        (0, 0) => "midnight".to_owned(),
        (12, 0) => "noon".to_owned(),
        (hour, minute) => {
            let half = if hour < 12 { "A.M" } else { "P.M" };
            let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
            format!("{} {half}", hour_and_minute(twelve, minute))
        }
    }
}
