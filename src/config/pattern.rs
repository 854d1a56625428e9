//! Route patterns: an exact number, a prefix with `*`, or a pattern with wildcards.

use std::fmt;
use std::str::FromStr;

use super::value::text_value;

/// The longest pattern that is accepted, in characters.
const MAX_PATTERN: usize = 128;

/// A pattern over the user part of a SIP URI (a number or a name).
///
/// `*` stands for any run of characters, `?` for one character, `[2-9]` or `[abc]` for one of a
/// set, and `[^0]` for one outside it. Everything else stands for itself, so `sales` is exact
/// and `+4930*` is a prefix. Letters match whatever their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Run,
    Any,
    Literal(char),
    Set {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Pattern {
    /// Returns the pattern that everything matches.
    pub fn any() -> Self {
        Self {
            text: "*".to_owned(),
            parts: vec![Part::Run],
        }
    }

    /// Reports whether the pattern matches everything.
    pub fn is_any(&self) -> bool {
        self.parts.iter().all(|part| *part == Part::Run)
    }

    /// Reports whether the whole of `text` matches; time is at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
        let (mut part, mut at) = (0, 0);
        // Where to go on from when a later part fails: the last run, one character further.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match (self.parts.get(part), text.get(at)) {
                (Some(Part::Run), _) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(single), Some(&c)) if single.accepts(c) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((after_run, start)) => {
                    (part, at) = (after_run, start + 1);
                    retry = Some((after_run, start + 1));
                }
                None => return false,
            }
        }
        self.parts.iter().skip(part).all(|part| *part == Part::Run)
    }
}

impl Part {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Run | Self::Any => true,
            Self::Literal(literal) => *literal == c,
            Self::Set { ranges, negated } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > MAX_PATTERN {
            return Err(format!("a pattern has from 1 to {MAX_PATTERN} characters"));
        }
        let mut parts = Vec::new();
        let mut chars = text.chars().map(|c| c.to_ascii_lowercase());
        while let Some(c) = chars.next() {
            let part = match c {
                '*' if parts.last() == Some(&Part::Run) => continue,
                '*' => Part::Run,
                '?' => Part::Any,
                '[' => parse_set(&mut chars)?,
                ']' => return Err("\"]\" without \"[\" before it".to_owned()),
                other => Part::Literal(other),
            };
            parts.push(part);
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

fn parse_set(chars: &mut impl Iterator<Item = char>) -> Result<Part, String> {
    let inside: Vec<char> = chars.by_ref().take_while(|c| *c != ']').collect();
    let (negated, inside) = match inside.split_first() {
        Some(('^' | '!', rest)) => (true, rest),
        _ => (false, inside.as_slice()),
    };
    let mut ranges = Vec::new();
    let mut rest = inside;
    loop {
        match rest {
            [] => break,
            [low, '-', high, after @ ..] => {
                if low > high {
                    return Err(format!("[{low}-{high}] runs backwards"));
                }
                ranges.push((*low, *high));
                rest = after;
            }
            [single, after @ ..] => {
                ranges.push((*single, *single));
                rest = after;
            }
        }
    }
    if ranges.is_empty() {
        return Err("[ ] needs characters in it, for instance [2-9]".to_owned());
    }
    Ok(Part::Set { ranges, negated })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_value!(Pattern, "a number, a prefix such as +49*, or a pattern");

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text)
    }

    #[test]
    fn exact_prefix_and_everything() {
        assert!(matches("+12025550100", "+12025550100"));
        assert!(!matches("+12025550100", "+120255501001"));
        assert!(matches("+4930*", "+493012345") && matches("+4930*", "+4930"));
        assert!(!matches("+4930*", "+493"));
        assert!(matches("*", "") && matches("**", "anything"));
        assert!(matches("Sales", "sales"));
    }

    #[test]
    fn wildcards_and_sets() {
        assert!(matches("+1???5550[1-3]00", "+12025550200"));
        assert!(!matches("+1???5550[1-3]00", "+12025550400"));
        assert!(matches("[^0]*99", "1299") && !matches("[^0]*99", "0299"));
        assert!(matches("*00*", "12003"));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = "*a".repeat(60);
        assert!(!matches(&pattern, &"a".repeat(59)));
        assert!(matches(&pattern, &"a".repeat(2000)));
    }

    #[test]
    fn broken_patterns_are_refused() {
        for text in ["", "[", "[]", "]", "[9-2]"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
