//! Telephone, card and account numbers: digit by digit, in the groups in which they are written.

use super::numbers::digits;
use super::scan::{ends_word, split_digits};
use super::{Place, Spoken};

/// How digits in several groups are cut when they are no E.164 number.
const SHAPES: &[&[usize]] = &[
    &[1, 3, 3, 4],
    &[3, 3, 4],
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[3, 2, 4],
];

/// More groups than any number has.
const MOST_GROUPS: usize = 6;

struct Group<'a> {
    digits: &'a str,
    /// What stands between the group before and this one.
    separator: &'a str,
    /// What is left after this group and its closing bracket.
    rest: &'a str,
}

/// Reads `+1 (202) 555-0100`, `202-555-0100`, `2025550100` or `4111 1111 1111 1111`.
pub(super) fn number(place: &Place<'_>, text: &str) -> Option<Spoken> {
    let (plus, body) = match text.strip_prefix('+') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let groups = groups(body);
    let count = (1..=groups.len()).rev().find(|count| {
        let Some((head, _)) = groups.split_at_checked(*count) else {
            return false;
        };
        let ends = head.last().is_some_and(|group| ends_word(group.rest));
        ends && fits(plus, head)
    })?;
    let (head, _) = groups.split_at_checked(count)?;
    let rest = head.last()?.rest;
    let mut said = head
        .iter()
        .flat_map(|group| parts(group.digits, plus))
        .collect::<Vec<_>>();
    if plus && let Some(first) = said.first_mut() {
        first.insert_str(0, "plus ");
    }
    // A number right after another word of digits needs its own breath.
    let pause = if place.after_number { ", " } else { "" };
    Spoken::number(
        format!("{pause}{}", said.join(", ")),
        text.len() - rest.len(),
    )
}

fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut rest = text;
    while groups.len() < MOST_GROUPS {
        let separator_len = match groups.is_empty() {
            true => 0,
            false => rest
                .bytes()
                .take(2)
                .take_while(|b| matches!(b, b' ' | b'-' | b'.'))
                .count(),
        };
        let (separator, after) = rest.split_at(separator_len);
        if !groups.is_empty() && separator.is_empty() && !after.starts_with('(') {
            break;
        }
        let (bracket, after) = match after.strip_prefix('(') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let (digits, after) = split_digits(after);
        let after = match (bracket, after.strip_prefix(')')) {
            (true, Some(after)) => after,
            (true, None) => break,
            (false, _) => after,
        };
        if digits.is_empty() {
            break;
        }
        groups.push(Group {
            digits,
            separator,
            rest: after,
        });
        rest = after;
    }
    groups
}

fn fits(plus: bool, groups: &[Group<'_>]) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    let total: usize = lengths.iter().sum();
    let america = groups
        .first()
        .is_some_and(|group| group.digits.starts_with('1'));
    if plus {
        return if america {
            total == 11
        } else {
            (7..=15).contains(&total)
        };
    }
    match lengths.as_slice() {
        [10] => true,
        [11] => america,
        // A local number: a dash, or it is two numbers in a row.
        [3, 4] => groups.last().is_some_and(|group| group.separator == "-"),
        [1, ..] if !america => false,
        lengths => SHAPES.contains(&lengths),
    }
}

/// Cuts a long group as telephone numbers are said, and says each part.
fn parts(group: &str, international: bool) -> Vec<String> {
    let sizes: &[usize] = match (group.len(), international) {
        (10, _) => &[3, 3, 4],
        (11, _) if group.starts_with('1') => &[1, 3, 3, 4],
        (0..=4, _) => return vec![digits(group)],
        (5, _) => &[2, 3],
        (6, _) => &[3, 3],
        (7, _) => &[3, 4],
        (8, _) => &[4, 4],
        (9, _) => &[3, 3, 3],
        (11, _) => &[2, 3, 3, 3],
        _ => &[3, 3, 3, 3, 3],
    };
    let mut rest = group;
    let mut said = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (part, further) = rest.split_at((*size).min(rest.len()));
        if !part.is_empty() {
            said.push(digits(part));
        }
        rest = further;
    }
    said
}
