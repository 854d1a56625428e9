//! E-mail addresses as people speak them and recognisers write them.

use super::email_domain::{KNOWN, TLDS, domain, domain_only};
use super::email_spelling::{Piece, pieces, strip_preamble};
use super::words::tokens;
use super::{Filled, Missing, Reading, SlotContext};
use crate::agent::Completeness;

/// What a recogniser writes for "at".
const AT_LIKE: [&str; 10] = [
    "and", "add", "ad", "had", "hat", "that", "it", "an", "act", "et",
];
/// Providers whose addresses are read even where the "at" was not heard.
const PROVIDERS: [&str; 7] = [
    "gmail.com",
    "googlemail.com",
    "hotmail.com",
    "outlook.com",
    "yahoo.com",
    "icloud.com",
    "protonmail.com",
];
const MAX_LOCAL: usize = 64;

/// Reads an address.
pub(super) fn read(said: &str, cx: &SlotContext<'_>) -> Reading {
    let pieces = pieces(said);
    if let Some((local, domain)) = address(&pieces).or_else(|| swallowed_at(&pieces)) {
        return Reading::Filled(filled(&local, &domain, cx));
    }
    // The second half of an answer that was given in two parts.
    if let Some(local) = cx.carry.and_then(|c| c.as_str())
        && let Some(domain) = domain_only(&pieces)
    {
        return Reading::Filled(filled(local, &domain, cx));
    }
    match local_only(&pieces) {
        Some(local) => Reading::Partial {
            spoken: spell(&local, cx),
            carry: local.into(),
            missing: Missing::Domain,
        },
        None => Reading::Nothing,
    }
}

pub(super) fn completeness(said: &str, cx: &SlotContext<'_>) -> Completeness {
    let words = tokens(said);
    let refuses = words.iter().any(|w| {
        matches!(
            w.as_str(),
            "don't" | "no" | "not" | "rather" | "why" | "what"
        )
    });
    let last = words.last().map(String::as_str).unwrap_or_default();
    match read(said, cx) {
        // ".co" often goes on: "dot co dot uk".
        Reading::Filled(f) if f.value.as_str().is_some_and(|v| v.ends_with(".co")) => {
            Completeness::Partial
        }
        Reading::Filled(_) if TLDS.contains(&last) || said.contains('.') => Completeness::Complete,
        Reading::Filled(_) => Completeness::Partial,
        _ if refuses => Completeness::Open,
        _ if words.is_empty() => Completeness::Open,
        _ => Completeness::Incomplete,
    }
}

fn address(pieces: &[Piece]) -> Option<(String, String)> {
    let at = at_sign(pieces)?;
    let local = local_part(pieces.get(..at)?)?;
    let domain = domain(pieces.get(at + 1..)?)?;
    Some((local, domain))
}

/// Reads an address whose "at" became a dot: "jane.smith.gmail.com", or "jane.smitha.gmail.com" with
/// what is left of the word. Only a provider that nobody has below a name of theirs will do.
fn swallowed_at(pieces: &[Piece]) -> Option<(String, String)> {
    let dots = (1..pieces.len()).filter(|at| pieces.get(*at) == Some(&Piece::Dot));
    for dot in dots {
        let Some(domain) = domain(pieces.get(dot + 1..)?) else {
            continue;
        };
        if PROVIDERS.contains(&domain.as_str()) {
            let local = local_part(pieces.get(..dot)?)?;
            let rest = local.strip_suffix('a').filter(|rest| rest.len() > 3);
            let local = rest.map_or(local.as_str(), |rest| rest.trim_end_matches('.'));
            return Some((local.to_owned(), domain));
        }
    }
    None
}

/// Finds the "at" before the domain: a sign, the word, or what was heard for it.
fn at_sign(pieces: &[Piece]) -> Option<usize> {
    let before_domain = |at: &usize| domain(pieces.get(at + 1..).unwrap_or_default()).is_some();
    let is = |at: usize, test: &dyn Fn(&Piece) -> bool| pieces.get(at).is_some_and(test);
    let indices = || (1..pieces.len()).rev();
    indices()
        .filter(|at| is(*at, &|p| *p == Piece::At))
        .find(before_domain)
        .or_else(|| {
            indices()
                .filter(|at| is(*at, &|p| p.is_word("at")))
                .find(before_domain)
        })
        .or_else(|| {
            let like = |p: &Piece| AT_LIKE.iter().any(|w| p.is_word(w));
            let known = |at: &usize| {
                domain(pieces.get(at + 1..).unwrap_or_default())
                    .is_some_and(|d| KNOWN.iter().any(|(known, _)| *known == d))
            };
            indices().filter(|at| is(*at, &like)).find(known)
        })
}

/// Joins the pieces before "at" to a valid local part.
fn local_part(pieces: &[Piece]) -> Option<String> {
    let kept = strip_preamble(pieces);
    let mut local = String::new();
    for piece in kept {
        match piece {
            Piece::Dot => local.push('.'),
            Piece::Sign(c) => local.push(*c),
            Piece::Letters(text) | Piece::Word(text) => local.push_str(text),
            Piece::At => return None,
        }
    }
    let local = local.trim_matches('.').to_owned();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '\'');
    let whole = !local.is_empty() && local.len() <= MAX_LOCAL && local.chars().all(valid);
    (whole && !local.contains("..")).then_some(local)
}

/// Returns a local part without a domain, if it is plainly one ("jane dot doe").
fn local_only(pieces: &[Piece]) -> Option<String> {
    let signs = pieces
        .iter()
        .any(|p| matches!(p, Piece::Dot | Piece::Sign(_)));
    let spelled = pieces
        .iter()
        .any(|p| matches!(p, Piece::Letters(l) if l.len() > 2));
    let end = pieces
        .iter()
        .position(|p| *p == Piece::At || p.is_word("at"))
        .unwrap_or(pieces.len());
    let local = local_part(pieces.get(..end)?)?;
    ((signs || spelled || end < pieces.len()) && local.len() >= 2).then_some(local)
}

fn filled(local: &str, domain: &str, cx: &SlotContext<'_>) -> Filled {
    let value = format!("{local}@{domain}");
    let spoken = format!("{}, at {}", spell(local, cx), speak_domain(domain));
    Filled::new(value, spoken)
}

/// Says a local part: parts of the caller's name as words, anything else letter by letter.
fn spell(local: &str, cx: &SlotContext<'_>) -> String {
    let names = format!(
        "{} {}",
        cx.variables.text("caller_name"),
        cx.variables.text("first_name")
    );
    let names = tokens(&names);
    let mut out: Vec<String> = Vec::new();
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut Vec<String>| {
        let part = std::mem::take(run);
        if part.is_empty() {
            return;
        }
        let known = names.contains(&part.to_lowercase());
        let letters = part
            .to_uppercase()
            .chars()
            .map(String::from)
            .collect::<Vec<_>>()
            .join(" ");
        out.push(if known { part } else { letters });
    };
    for c in local.chars() {
        let sign = match c {
            '.' => "dot",
            '_' => "underscore",
            '-' => "dash",
            '+' => "plus",
            _ => {
                run.push(c);
                continue;
            }
        };
        flush(&mut run, &mut out);
        out.push(sign.to_owned());
    }
    flush(&mut run, &mut out);
    out.join(", ").replace(", dot, ", " dot ")
}

fn speak_domain(domain: &str) -> String {
    let known = KNOWN.iter().any(|(d, _)| *d == domain);
    let mut labels: Vec<String> = domain.split('.').map(str::to_owned).collect();
    if let Some(first) = labels.first_mut() {
        if !known && first.len() <= 4 {
            *first = first
                .to_uppercase()
                .chars()
                .map(String::from)
                .collect::<Vec<_>>()
                .join(" ");
        } else if first == "gmail" {
            "G mail".clone_into(first);
        } else if matches!(first.as_str(), "aol" | "msn") {
            *first = first
                .to_uppercase()
                .chars()
                .map(String::from)
                .collect::<Vec<_>>()
                .join(" ");
        }
    }
    labels.join(" dot ")
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::{read_at_ten, with_context};
    use super::*;
    use crate::agent::Variables;

    fn email(said: &str) -> Option<String> {
        let filled = read_at_ten(SlotKind::Email, said).filled()?;
        filled.value.as_str().map(str::to_owned)
    }

    #[test]
    fn addresses_are_read_as_people_say_them() {
        for (said, want) in [
            ("jane dot doe at gmail dot com", "jane.doe@gmail.com"),
            ("Jane.Doe@gmail.com", "jane.doe@gmail.com"),
            ("It's jane.doe at gmail.com.", "jane.doe@gmail.com"),
            (
                "My email is Jane Doe at gmail.com, thanks.",
                "janedoe@gmail.com",
            ),
            (
                "Sure, that would be j a n e at example dot com",
                "jane@example.com",
            ),
            ("J-A-N-E at example.com", "jane@example.com"),
            ("J. A. N. E. at yahoo dot com", "jane@yahoo.com"),
            (
                "You can reach me at bob underscore smith at acme plumbing dot com",
                "bob_smith@acmeplumbing.com",
            ),
            ("w double u at hotmail dot com", "ww@hotmail.com"),
            ("bob forty two at outlook dot com", "bob42@outlook.com"),
            ("bob four two at outlook dot com", "bob42@outlook.com"),
            ("bob dash smith at a o l dot com", "bob-smith@aol.com"),
            (
                "jane plus leads at gmail dot com please",
                "jane+leads@gmail.com",
            ),
            ("jane at acme dot co dot uk", "jane@acme.co.uk"),
            ("info at b i g dot io", "info@big.io"),
            ("jane double e at gmail.com", "janeee@gmail.com"),
            ("j as in Juliet, o, e at gmail dot com", "joe@gmail.com"),
            (
                "Jane, that's J-A-Y-N-E, at gmail dot com",
                "jayne@gmail.com",
            ),
            (
                "Jane Doe, that's J-A-N-E-D-O-E, at gmail dot com",
                "janedoe@gmail.com",
            ),
            (
                "jane doe, all one word, at gmail dot com",
                "janedoe@gmail.com",
            ),
            ("double-u i l l at yahoo dot com", "will@yahoo.com"),
            ("double u i l l at yahoo dot com", "will@yahoo.com"),
            ("bob one oh one at gmail dot com", "bob101@gmail.com"),
            ("jane at the rate gmail dot com", "jane@gmail.com"),
            ("jane at sign gmail dot com", "jane@gmail.com"),
            ("j a n e at g m a i l dot c o m", "jane@gmail.com"),
        ] {
            assert_eq!(email(said).as_deref(), Some(want), "{said}");
        }
    }

    #[test]
    fn garbled_addresses_are_mended() {
        for (said, want) in [
            ("jane dot doe at g mail dot com", "jane.doe@gmail.com"),
            ("jane dot doe at gmail com", "jane.doe@gmail.com"),
            ("jane dot doe at jimail dot calm", "jane.doe@gmail.com"),
            ("Jane.Doe.at.gmail.com", "jane.doe@gmail.com"),
            ("jane dot doe and gmail dot com", "jane.doe@gmail.com"),
            ("janedoeatgmail.com", "janedoe@gmail.com"),
            ("It's jane.smitha.gmail.com", "jane.smith@gmail.com"),
            ("jane dot smith dot gmail dot com", "jane.smith@gmail.com"),
            ("jane.smith.a.gmail.com", "jane.smith@gmail.com"),
            ("jane.doe at hot mail.com", "jane.doe@hotmail.com"),
            ("jane.doe at eye cloud dot com", "jane.doe@icloud.com"),
            ("jane doe at gmail", "janedoe@gmail.com"),
            ("jane doe @ gmail.com", "janedoe@gmail.com"),
            ("Jane dot Doe at Gmail dot com.", "jane.doe@gmail.com"),
            ("jane.doe at yahu dot com", "jane.doe@yahoo.com"),
        ] {
            assert_eq!(email(said).as_deref(), Some(want), "{said}");
        }
    }

    #[test]
    fn other_answers_are_no_addresses() {
        for said in [
            "I don't have one",
            "Why do you need it?",
            "Yes.",
            "at the office",
            "",
            "@",
            "at at at dot",
        ] {
            assert_eq!(email(said), None, "{said}");
        }
    }

    #[test]
    fn an_address_is_not_cut_in_half() {
        with_context(|cx| {
            for half in [
                "jane dot",
                "jane dot doe at",
                "it's jane dot doe",
                "J-A-N-E",
                "jane dot doe at gmail dot",
            ] {
                assert!(
                    super::super::completeness(SlotKind::Email, half, cx)
                        <= Completeness::Incomplete,
                    "{half}"
                );
            }
            assert_eq!(
                completeness("jane dot doe at gmail dot com", cx),
                Completeness::Complete
            );
            assert_eq!(
                completeness("jane at acme dot co", cx),
                Completeness::Partial
            );
            assert_eq!(completeness("I don't have one", cx), Completeness::Open);
        });
    }

    #[test]
    fn an_address_in_two_answers_is_joined() {
        with_context(|cx| {
            let Reading::Partial { carry, missing, .. } = read("jane dot doe", cx) else {
                panic!()
            };
            assert_eq!(missing, Missing::Domain);
            let cx = SlotContext {
                carry: Some(&carry),
                ..*cx
            };
            let filled = read("gmail dot com", &cx).filled().unwrap();
            assert_eq!(filled.value, "jane.doe@gmail.com");
        });
    }

    #[test]
    fn read_back_says_known_names_as_words_and_spells_the_rest() {
        with_context(|cx| {
            let variables: Variables = [("caller_name", "Jane Doe")].into_iter().collect();
            let cx = SlotContext {
                variables: &variables,
                ..*cx
            };
            let spoken = |said| read(said, &cx).filled().unwrap().spoken;
            assert_eq!(
                spoken("jane dot doe at gmail dot com"),
                "jane dot doe, at G mail dot com"
            );
            assert_eq!(spoken("xq7@acme.com"), "X Q 7, at A C M E dot com");
        });
    }
}
