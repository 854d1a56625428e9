//! Single signs, and the last clean-up.

use super::numbers::digits;
use super::scan::{digits_len, ends_word};
use super::{Place, Spoken};

/// Puts typographic characters into plain ones, and takes out what has no sound.
pub(super) fn without_typography(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{ff07}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{00ab}' | '\u{00bb}' => plain.push('"'),
            '\u{2010}' | '\u{2011}' => plain.push('-'),
            '\u{2012}' | '\u{2013}' => plain.push('\u{2013}'),
            '\u{2014}' | '\u{2015}' => plain.push_str(", "),
            '\u{2026}' => plain.push_str("..."),
            '\u{2212}' => plain.push('-'),
            '\u{00a0}' | '\u{2009}' | '\u{202f}' | '\u{3000}' | '\t' => plain.push(' '),
            '\r' | '\n' => plain.push('\n'),
            '\u{00ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => {}
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

/// Says what no rule wanted: a sign, a blank, a letter.
pub(super) fn symbol(place: &Place<'_>, rest: &str, c: char) -> Spoken {
    let after = rest.get(c.len_utf8()..).unwrap_or_default();
    let said = |text: &str| Spoken {
        text: text.to_owned(),
        used: c.len_utf8(),
        number: false,
    };
    match c {
        '-' | '\u{2013}' => dash(place, after, c),
        '#' | '*' => key(place, after, c),
        '\n' => said(line_end(place, after)),
        '&' => said(" and "),
        '+' => said(" plus "),
        '=' => said(" equals "),
        '@' => said(" at "),
        '%' => said(" percent "),
        '\u{00b0}' => said(" degrees "),
        '\u{00d7}' => said(" times "),
        '\u{00f7}' => said(" divided by "),
        '/' => said(slash(place, after)),
        '~' => said(if digits_len(after) > 0 {
            " about "
        } else {
            " "
        }),
        '(' | ')' | '[' | ']' | '{' | '}' => said(", "),
        '|' | '\u{2022}' => said(", "),
        '\u{00a7}' => said(" section "),
        '$' => said(" dollars "),
        '\u{20ac}' => said(" euros "),
        '\u{00a3}' => said(" pounds "),
        '.' | ',' | ';' | ':' | '!' | '?' | '\'' | ' ' => said(&c.to_string()),
        c if c.is_alphanumeric() || is_combining(c) => said(&c.to_string()),
        _ => said(" "),
    }
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}')
}

fn dash(place: &Place<'_>, after: &str, c: char) -> Spoken {
    let between_words = place.previous().is_some_and(char::is_alphanumeric)
        && after.starts_with(char::is_alphanumeric);
    let next = after
        .trim_start()
        .trim_start_matches(['$', '\u{20ac}', '\u{00a3}']);
    let number_follows = digits_len(next) > 0;
    let text = if place.after_number && number_follows {
        " to "
    } else if between_words && c == '-' {
        "-"
    } else if place
        .previous()
        .is_some_and(|previous| previous.is_whitespace())
    {
        ", "
    } else {
        " "
    };
    Spoken {
        text: text.to_owned(),
        used: c.len_utf8(),
        number: false,
    }
}

/// The keys of a telephone; and the marks of emphasis and headings, which have no sound.
fn key(place: &Place<'_>, after: &str, c: char) -> Spoken {
    let name = if c == '#' { "pound" } else { "star" };
    let code = digits_len(after);
    let open = !place
        .previous()
        .is_some_and(|previous| previous.is_alphanumeric());
    if c == '*' && code > 0 && open && !after.contains('*') {
        let number = after.get(..code).unwrap_or_default();
        return Spoken {
            text: format!(" star {}", digits(number)),
            used: 1 + code,
            number: true,
        };
    }
    if c == '#' && code > 0 && open {
        return Spoken {
            text: " number ".to_owned(),
            used: 1,
            number: false,
        };
    }
    let heading = c == '#' && at_line_start(place.before.trim_end_matches('#'));
    let alone = !heading
        && place
            .before
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
        && ends_word(after)
        && !after.starts_with(c);
    let pressed = matches!(place.last_word().as_str(), "press" | "dial" | "hit" | "key");
    let bullet = at_line_start(place.before) && after.starts_with(' ');
    let text = if (alone && !bullet) || pressed {
        format!(" {name} ")
    } else {
        String::new()
    };
    Spoken {
        text,
        used: 1,
        number: false,
    }
}

fn at_line_start(before: &str) -> bool {
    before
        .trim_end_matches(' ')
        .chars()
        .next_back()
        .is_none_or(|c| c == '\n')
}

/// A line's end is a full stop, unless the text has its own.
fn line_end(place: &Place<'_>, after: &str) -> &'static str {
    let ended = place
        .said
        .trim_end()
        .ends_with(['.', ',', ';', ':', '!', '?']);
    let blank = place.said.trim().is_empty() || after.trim().is_empty();
    if ended || blank { " " } else { ". " }
}

fn slash(place: &Place<'_>, after: &str) -> &'static str {
    let last = place.last_word();
    if last == "and" && after.starts_with("or") {
        " "
    } else if place.previous().is_some_and(char::is_whitespace) || after.starts_with(' ') {
        ", "
    } else {
        " slash "
    }
}

/// Leaves one blank between words, no blank before a mark, and one mark where several met.
pub(super) fn tidied(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            if !tidy.is_empty() && !tidy.ends_with(' ') {
                tidy.push(' ');
            }
            continue;
        }
        if matches!(c, '.' | ',' | ';' | ':' | '!' | '?') {
            let bare = tidy.trim_end().len();
            let blank = bare < tidy.len();
            // ".5" and "S.I.P" keep their points: only a mark that ends a word moves or merges.
            match tidy.get(..bare).and_then(|said| said.chars().next_back()) {
                None => {}
                Some(mark) if weight(mark) >= weight(c) => {}
                Some('.' | ',' | ';' | ':' | '!' | '?') => {
                    tidy.truncate(bare.saturating_sub(1));
                    tidy.push(c);
                }
                Some(_) => {
                    if blank {
                        tidy.truncate(bare);
                    }
                    tidy.push(c);
                }
            }
            continue;
        }
        tidy.push(c);
    }
    let end = tidy.trim_end_matches([' ', ',']).len();
    tidy.truncate(end);
    tidy
}

/// Which of two marks that meet is kept; no mark weighs nothing.
fn weight(mark: char) -> u8 {
    match mark {
        '?' => 5,
        '!' => 4,
        '.' => 3,
        ':' | ';' => 2,
        ',' => 1,
        _ => 0,
    }
}
