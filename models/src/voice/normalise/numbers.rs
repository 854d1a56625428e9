//! Numbers as words.

const ONES: [&str; 20] = [
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
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const SCALES: [(u64, &str); 6] = [
    (1_000_000_000_000_000_000, "quintillion"),
    (1_000_000_000_000_000, "quadrillion"),
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
];

/// Says a whole number: 1249 is "one thousand two hundred forty-nine".
#[must_use]
pub fn cardinal(number: u64) -> String {
    if number < 1000 {
        return below_thousand(number);
    }
    let mut words = String::new();
    let mut rest = number;
    for (scale, name) in SCALES {
        if rest >= scale {
            push_word(&mut words, &below_thousand(rest / scale));
            push_word(&mut words, name);
            rest %= scale;
        }
    }
    if rest > 0 {
        push_word(&mut words, &below_thousand(rest));
    }
    words
}

fn below_thousand(number: u64) -> String {
    let mut words = String::new();
    if number >= 100 {
        words.push_str(one(number / 100));
        words.push_str(" hundred");
        if number.is_multiple_of(100) {
            return words;
        }
    }
    push_word(&mut words, &below_hundred(number % 100));
    words
}

fn below_hundred(number: u64) -> String {
    if number < 20 {
        return one(number).to_owned();
    }
    let tens = TENS
        .get((number / 10) as usize)
        .copied()
        .unwrap_or_default();
    match number % 10 {
        0 => tens.to_owned(),
        ones => format!("{tens}-{}", one(ones)),
    }
}

fn one(number: u64) -> &'static str {
    ONES.get(number as usize).copied().unwrap_or_default()
}

fn push_word(words: &mut String, word: &str) {
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(word);
}

/// Says a place in an order: 21 is "twenty-first".
#[must_use]
pub fn ordinal(number: u64) -> String {
    let words = cardinal(number);
    let cut = words.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (head, last) = words.split_at(cut);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        other => match other.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{other}th"),
        },
    };
    format!("{head}{last}")
}

/// Says the digits of a text one by one; what is no digit is left out.
#[must_use]
pub fn digits(text: &str) -> String {
    let words = text
        .chars()
        .filter_map(|c| c.to_digit(10))
        .map(|digit| one(u64::from(digit)));
    words.collect::<Vec<_>>().join(" ")
}

/// Says the digits of a long number in groups with a pause between.
pub(super) fn grouped_digits(text: &str) -> String {
    let all: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    let size = if all.len().is_multiple_of(3) && !all.len().is_multiple_of(4) {
        3
    } else {
        4
    };
    let groups = all
        .chunks(size)
        .map(|group| digits(&group.iter().collect::<String>()));
    groups.collect::<Vec<_>>().join(", ")
}

/// Says a year: 2026 is "twenty twenty-six", 1905 "nineteen oh five", 2007 "two thousand seven".
pub(super) fn year(number: u64) -> String {
    match number {
        2000..=2009 => cardinal(number),
        1000..=9999 if number.is_multiple_of(1000) => cardinal(number),
        1000..=9999 if number.is_multiple_of(100) => {
            format!("{} hundred", below_hundred(number / 100))
        }
        1000..=9999 if number % 100 < 10 => {
            format!("{} oh {}", below_hundred(number / 100), one(number % 100))
        }
        1000..=9999 => {
            format!(
                "{} {}",
                below_hundred(number / 100),
                below_hundred(number % 100)
            )
        }
        other => cardinal(other),
    }
}

/// Says a decade: 1990 is "nineteen nineties", 90 is "nineties".
pub(super) fn decade(number: u64) -> String {
    let words = if number < 100 {
        below_hundred(number)
    } else {
        year(number)
    };
    match words.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{words}s"),
    }
}

/// Says a fraction of small numbers: "three quarters", "one half"; `None` if nobody says it so.
pub(super) fn fraction(over: u64, under: u64) -> Option<String> {
    if over == 0 || over >= under || under > 100 {
        return None;
    }
    let part = match under {
        2 => "half".to_owned(),
        4 => "quarter".to_owned(),
        3 | 5..=100 => ordinal(under),
        _ => return None,
    };
    Some(match (over, under) {
        (1, _) => format!("one {part}"),
        _ => format!("{} {part}s", cardinal(over)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_said_without_and() {
        for (number, words) in [
            (0, "zero"),
            (13, "thirteen"),
            (40, "forty"),
            (99, "ninety-nine"),
            (100, "one hundred"),
            (101, "one hundred one"),
            (1_000, "one thousand"),
            (1_249, "one thousand two hundred forty-nine"),
            (1_000_001, "one million one"),
            (
                u64::MAX,
                "eighteen quintillion four hundred forty-six quadrillion seven hundred forty-four \
                 trillion seventy-three billion seven hundred nine million five hundred fifty-one \
                 thousand six hundred fifteen",
            ),
        ] {
            assert_eq!(cardinal(number), words);
        }
    }

    #[test]
    fn places_in_an_order_end_in_their_ordinal() {
        for (number, words) in [
            (1, "first"),
            (12, "twelfth"),
            (20, "twentieth"),
            (23, "twenty-third"),
            (100, "one hundredth"),
            (108, "one hundred eighth"),
        ] {
            assert_eq!(ordinal(number), words);
        }
    }

    #[test]
    fn years_are_said_in_pairs() {
        for (number, words) in [
            (1066, "ten sixty-six"),
            (1900, "nineteen hundred"),
            (1905, "nineteen oh five"),
            (1999, "nineteen ninety-nine"),
            (2000, "two thousand"),
            (2007, "two thousand seven"),
            (2026, "twenty twenty-six"),
        ] {
            assert_eq!(year(number), words);
        }
    }
}
