//! Numbers and what they count: money, percentages, units, ordinals, fractions, ranges.

use super::lexicon::{CURRENCIES, Currency, MAGNITUDES, PER, UNITS};
use super::numbers::{cardinal, decade, digits, fraction, grouped_digits, ordinal, year};
use super::scan::{self, Written, ends_word, skip_blanks, small, split_digits, used};
use super::{Place, Spoken};

/// Reads `$1,249.99`, `€5`, `$1.5M`, `USD 20`, `-$5` and `$5-10`.
pub(super) fn money(_: &Place<'_>, text: &str) -> Option<Spoken> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (currency, rest) = currency_sign(body)?;
    let amount = scan::number(rest)?;
    let after = rest.get(amount.used..)?;
    let (mut said, mut rest) = amount_of(currency, &amount, after)?;
    if negative {
        said.insert_str(0, "minus ");
    }
    if let Some((words, after)) = per(rest) {
        said.push_str(&words);
        rest = after;
    }
    Spoken::number(said, used(text, rest))
}

fn currency_sign(text: &str) -> Option<(&'static Currency, &str)> {
    CURRENCIES.iter().find_map(|currency| {
        let by_sign = currency
            .signs
            .iter()
            .find_map(|sign| text.strip_prefix(sign));
        let by_code = || text.strip_prefix(currency.code)?.strip_prefix(' ');
        by_sign
            .or_else(by_code)
            .map(|rest| (currency, skip_blanks(rest, 1)))
    })
}

/// Says an amount of money whose digits have been read; `after` follows them.
fn amount_of<'a>(
    currency: &Currency,
    amount: &Written,
    after: &'a str,
) -> Option<(String, &'a str)> {
    if let Some((magnitude, rest)) = magnitude(after) {
        let words = format!("{} {magnitude} {}", amount.words(), currency.many);
        return Some((words, rest));
    }
    if !ends_word(after) {
        return None;
    }
    // "$5-10": the sign counts for both.
    let range = after
        .strip_prefix(['-', '\u{2013}'])
        .and_then(|second| Some((scan::number(second)?, second)))
        .and_then(|(high, second)| Some((second.get(high.used..)?, high)))
        .filter(|(rest, _)| ends_word(rest));
    if let Some((rest, high)) = range {
        let words = format!("{} to {} {}", amount.words(), high.words(), currency.many);
        return Some((words, rest));
    }
    Some((whole_and_parts(currency, amount), after))
}

fn whole_and_parts(currency: &Currency, amount: &Written) -> String {
    let name = if amount.whole == "1" {
        currency.one
    } else {
        currency.many
    };
    let whole = amount.value();
    let parts = amount
        .fraction
        .as_deref()
        .map(|fraction| match fraction.len() {
            1 => fraction.parse::<u64>().unwrap_or(0) * 10,
            2 => fraction.parse().unwrap_or(0),
            _ => u64::MAX,
        });
    match (whole, parts) {
        (_, Some(u64::MAX)) | (None, _) => format!("{} {}", amount.words(), currency.many),
        (Some(whole), None | Some(0)) => format!("{} {name}", cardinal(whole)),
        (Some(0), Some(parts)) => small_money(currency, parts),
        (Some(whole), Some(parts)) => {
            format!(
                "{} {name} and {}",
                cardinal(whole),
                small_money(currency, parts)
            )
        }
    }
}

fn small_money(currency: &Currency, parts: u64) -> String {
    let name = if parts == 1 {
        currency.part
    } else {
        currency.parts
    };
    format!("{} {name}", cardinal(parts))
}

/// Reads `M`, ` million`, `k`, `bn` after a number.
fn magnitude(text: &str) -> Option<(&'static str, &str)> {
    MAGNITUDES.iter().find_map(|(short, word)| {
        let rest = text.strip_prefix(short)?;
        ends_word(rest).then_some((*word, rest))
    })
}

/// Reads `/month` or `/hr` after a quantity.
fn per(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('/')?;
    let (word, rest) = body.split_at(scan::letters_len(body));
    let known = PER
        .iter()
        .find(|(short, _)| *short == word)
        .map(|(_, long)| *long);
    let word = known.or((word.len() > 2).then_some(word))?;
    Some((format!(" per {word}"), rest))
}

/// Reads every other number.
pub(super) fn number(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let minus = text.strip_prefix('-').filter(|_| {
        !place.after_number
            && place
                .previous()
                .is_none_or(|c| c.is_whitespace() || c == '(')
    });
    let body = minus.unwrap_or(text);
    let spoken = decades(body)
        .or_else(|| counted_places(body))
        .or_else(|| fractions(place, body))
        .or_else(|| dotted(body))
        .or_else(|| serial(place, body))
        .or_else(|| quantity(place, body))?;
    if minus.is_none() {
        return Some(spoken);
    }
    Spoken::number(format!("minus {}", spoken.text), spoken.used + 1)
}

/// `1990s`, `'90s`.
fn decades(text: &str) -> Option<Spoken> {
    let body = text.strip_prefix('\'').unwrap_or(text);
    let (digits, rest) = split_digits(body);
    let rest = rest.strip_prefix("'s").or_else(|| rest.strip_prefix('s'))?;
    let value: u64 = digits.parse().ok()?;
    let decadal = value.is_multiple_of(10) && matches!(digits.len(), 2 | 4) && value >= 20;
    (decadal && ends_word(rest))
        .then(|| Spoken::words(decade(value), used(text, rest)))
        .flatten()
}

/// `1st`, `22nd`, `103rd`.
fn counted_places(text: &str) -> Option<Spoken> {
    let number = scan::number(text).filter(|number| number.fraction.is_none())?;
    let rest = text.get(number.used..)?;
    let rest = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| rest.strip_prefix(end))?;
    if !ends_word(rest) {
        return None;
    }
    Spoken::words(ordinal(number.value()?), used(text, rest))
}

/// `1/2`, `2 3/4`, `24/7`, and the fractions that are one character.
fn fractions(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let (whole, rest) = match small(text, 4) {
        Some((value, rest)) => (Some(value), rest),
        None => (None, text),
    };
    let sign = rest.chars().next().and_then(|c| match c {
        '\u{00bd}' => Some("half"),
        '\u{00bc}' => Some("quarter"),
        '\u{00be}' => Some("three quarters"),
        _ => None,
    });
    if let Some(words) = sign {
        let article = if words.starts_with("three") { "" } else { "a " };
        let said = match whole {
            Some(whole) => format!("{} and {article}{words}", cardinal(whole)),
            None if article.is_empty() => words.to_owned(),
            None => format!("one {words}"),
        };
        let rest = rest.get(2..)?;
        return Spoken::number(said, used(text, rest));
    }
    let (over, rest) = small(text, 3)?;
    let (under, rest) = small(rest.strip_prefix('/')?, 3)?;
    if !ends_word(rest) || rest.starts_with('/') {
        return None;
    }
    if (over, under) == (24, 7) {
        return Spoken::words("twenty-four seven", used(text, rest));
    }
    let said = fraction(over, under)
        .unwrap_or_else(|| format!("{} over {}", cardinal(over), cardinal(under)));
    let and = if place.after_number { "and " } else { "" };
    Spoken::number(format!("{and}{said}"), used(text, rest))
}

/// Versions `2.0.1` and internet addresses `192.168.1.10`.
fn dotted(text: &str) -> Option<Spoken> {
    let mut groups = Vec::new();
    let mut rest = text;
    loop {
        let (digits, after) = split_digits(rest);
        if digits.is_empty() {
            break;
        }
        groups.push(digits);
        rest = after;
        match after.strip_prefix('.') {
            Some(further) if scan::digits_len(further) > 0 => rest = further,
            _ => break,
        }
    }
    if groups.len() < 3 || !ends_word(rest) {
        return None;
    }
    let said: Vec<String> = match groups.len() {
        4 => groups.iter().map(|group| digits(group)).collect(),
        _ => groups.iter().map(|group| number_words(group)).collect(),
    };
    let point = if groups.len() == 4 {
        " dot "
    } else {
        " point "
    };
    Spoken::words(said.join(point), used(text, rest))
}

fn number_words(group: &str) -> String {
    match group.parse() {
        Ok(value) if !group.starts_with('0') || group.len() == 1 => cardinal(value),
        _ => digits(group),
    }
}

/// Digits that count nothing: long ones, those with a leading zero, an extension or a code.
fn serial(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let (found, rest) = split_digits(text);
    if found.is_empty() || !ends_word(rest) || rest.starts_with([',', '.']) && has_digit_next(rest)
    {
        return None;
    }
    let code = matches!(
        place.last_word().as_str(),
        "extension"
            | "code"
            | "pin"
            | "zip"
            | "suite"
            | "room"
            | "flight"
            | "account"
            | "confirmation"
            | "reference"
    ) && found.len() >= 3;
    let zero = found.len() > 1 && found.starts_with('0');
    if !(code || zero || found.len() >= 8) {
        return None;
    }
    let said = if found.len() > 5 {
        grouped_digits(found)
    } else {
        digits(found)
    };
    Spoken::number(said, found.len())
}

fn has_digit_next(rest: &str) -> bool {
    rest.get(1..)
        .is_some_and(|after| scan::digits_len(after) > 0)
}

/// A number with or without a unit, a percent sign, a magnitude or a currency after it.
fn quantity(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let number = scan::number(text)?;
    let rest = text.get(number.used..)?;
    if let Some(after) = skip_blanks(rest, 1).strip_prefix('%') {
        return Spoken::number(format!("{} percent", number.words()), used(text, after));
    }
    if let Some((magnitude, after)) = magnitude(rest) {
        let said = format!("{} {magnitude}", number.words());
        return Spoken::number(said, used(text, after));
    }
    if let Some((currency, after)) = currency_after(rest) {
        return Spoken::number(whole_and_parts(currency, &number), used(text, after));
    }
    if let Some((unit, after)) = unit(rest, number.is_one()) {
        let (per, after) = per(after).unwrap_or((String::new(), after));
        return Spoken::number(format!("{} {unit}{per}", number.words()), used(text, after));
    }
    // "4G", "3D": words::word knows letters and digits that belong together.
    if !ends_word(rest) {
        return None;
    }
    let said = match number.value() {
        Some(value) if is_year(place, &number, value) => year(value),
        _ => number.words(),
    };
    Spoken::number(said, number.used)
}

fn currency_after(rest: &str) -> Option<(&'static Currency, &str)> {
    let rest = skip_blanks(rest, 1);
    CURRENCIES.iter().find_map(|currency| {
        let sign = currency.signs.iter().filter(|sign| **sign != "$");
        let by_sign = sign.clone().find_map(|sign| rest.strip_prefix(sign));
        let after = by_sign.or_else(|| rest.strip_prefix(currency.code))?;
        ends_word(after).then_some((currency, after))
    })
}

fn unit(rest: &str, one: bool) -> Option<(&'static str, &str)> {
    let blank = rest.starts_with(' ');
    let body = skip_blanks(rest, 1);
    UNITS.iter().find_map(|unit| {
        // A lone letter is a unit only where it touches its number: "5m", not "5 m".
        if blank && unit.sign.len() == 1 {
            return None;
        }
        let after = body.strip_prefix(unit.sign)?;
        let name = if one { unit.one } else { unit.many };
        ends_word(after).then_some((name, after))
    })
}

/// Four digits are a year where the words before say so, or between 1900 and 2099 after a comma.
fn is_year(place: &Place<'_>, number: &Written, value: u64) -> bool {
    let plain = !number.grouped && number.fraction.is_none() && number.whole.len() == 4;
    let after = matches!(
        place.last_word().as_str(),
        "in" | "since"
            | "year"
            | "until"
            | "before"
            | "after"
            | "from"
            | "during"
            | "of"
            | "by"
            | "spring"
            | "summer"
            | "fall"
            | "autumn"
            | "winter"
            | "early"
            | "late"
            | "mid"
            | "to"
    );
    plain && after && (1100..=2099).contains(&value)
}
