//! Who a contact is: numbers and addresses in a form that can be compared.

/// Digits that make a key: a number's end is the same with and without its country code.
const KEY_DIGITS: usize = 9;
/// Fewer digits without a country code may be the end of anybody's number.
const NATIONAL_DIGITS: usize = 10;
/// Fewer are an extension, which says nothing outside of its own exchange.
const LEAST_DIGITS: usize = 5;

/// Returns the phone number in a calling or called party, as `+` and digits: `tel:` and `sip:` URIs
/// lose everything around the number, separators go, `00` becomes `+`; none when it is no number.
pub fn phone_number(party: &str) -> Option<String> {
    let party = party.trim();
    let party = party
        .strip_prefix("tel:")
        .or_else(|| party.strip_prefix("sips:"))
        .or_else(|| party.strip_prefix("sip:"))
        .unwrap_or(party);
    let number = party.split(['@', ';', '?']).next().unwrap_or(party);
    let mut digits = String::with_capacity(number.len());
    for (at, character) in number.chars().enumerate() {
        match character {
            '+' if at == 0 => digits.push('+'),
            '0'..='9' => digits.push(character),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return None,
        }
    }
    if let Some(rest) = digits.strip_prefix("00") {
        digits = format!("+{rest}");
    }
    (digits.trim_start_matches('+').len() >= LEAST_DIGITS).then_some(digits)
}

/// Returns the key under which a phone number's work is done one after the other, and under which
/// it is looked for: its last nine digits, so that the national and the international spelling of a
/// number share one. Strangers may share one too: only [`same_phone`] says who is who.
pub fn phone_key(party: &str) -> Option<String> {
    let number = phone_number(party)?;
    let digits = number.trim_start_matches('+');
    let end = digits.len().saturating_sub(KEY_DIGITS);
    digits.get(end..).map(str::to_owned)
}

/// Says whether two parties are one phone number: the whole of it where both have their country
/// code (E.164); else the one without must have ten digits at least, its leading zero included, and
/// be the end of the other. Shorter ones must be the same.
pub fn same_phone(a: &str, b: &str) -> bool {
    let (Some(a), Some(b)) = (phone_number(a), phone_number(b)) else {
        return false;
    };
    match (a.strip_prefix('+'), b.strip_prefix('+')) {
        (Some(a), Some(b)) => a == b,
        (Some(whole), None) => ends_as(whole, &b),
        (None, Some(whole)) => ends_as(whole, &a),
        (None, None) => a == b || ends_as(&a, &b) || ends_as(&b, &a),
    }
}

fn ends_as(whole: &str, national: &str) -> bool {
    let long_enough = national.len() >= NATIONAL_DIGITS;
    // The zero before a national number is left out behind a country code (but in Italy).
    let bare = national.strip_prefix('0').unwrap_or(national);
    whole == national || (long_enough && (whole.ends_with(bare) || whole.ends_with(national)))
}

/// Says whether a calling party is withheld: the user or host that RFC 3323 §4.1 and RFC 3325 §7
/// give to the anonymous, or one of the words that carriers put in their place.
pub fn is_withheld(party: &str) -> bool {
    const WORDS: [&str; 6] = [
        "anonymous",
        "unknown",
        "restricted",
        "unavailable",
        "private",
        "withheld",
    ];
    let party = party.trim();
    let party = party
        .strip_prefix("sips:")
        .or_else(|| party.strip_prefix("sip:"))
        .or_else(|| party.strip_prefix("tel:"))
        .unwrap_or(party);
    let (user, host) = party.split_once('@').unwrap_or((party, ""));
    let user = user.split([';', ':', '?']).next().unwrap_or(user);
    let host = host.split([';', ':', '?']).next().unwrap_or(host);
    WORDS.iter().any(|word| user.eq_ignore_ascii_case(word))
        || host.eq_ignore_ascii_case("anonymous.invalid")
}

/// Returns the key of an e-mail address: without spaces, in lower case; none when it is no address.
pub fn email_key(address: &str) -> Option<String> {
    let address = address.trim().to_lowercase();
    let (name, domain) = address.split_once('@')?;
    let valid = !name.is_empty() && domain.contains('.') && !address.contains(char::is_whitespace);
    valid.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_many_spellings_has_one_key() {
        for party in [
            "+1 (202) 555-0123",
            "0012025550123",
            "2025550123",
            "tel:+1-202-555-0123;phone-context=example.com",
            "sip:+12025550123@carrier.example;user=phone",
        ] {
            assert_eq!(phone_key(party).as_deref(), Some("025550123"), "{party}");
        }
        assert_ne!(phone_key("+12025550124"), phone_key("+12025550123"));
    }

    #[test]
    fn two_people_whose_numbers_end_alike_are_two() {
        for (a, b) in [
            ("+12025550123", "+13025550123"),
            ("+12025550123", "025550123"),
            ("2025550123", "+13025550123"),
            ("+442079460123", "079460123"),
            ("55501", "+15555501"),
            ("anonymous", "anonymous"),
        ] {
            assert!(!same_phone(a, b) && !same_phone(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("+1 202 555 0123", "sip:+12025550123@host"),
            ("2025550123", "+12025550123"),
            ("12025550123", "+12025550123"),
            ("12025550123", "2025550123"),
            ("020 7946 0123", "+442079460123"),
            ("06 12 34 56 78", "0033612345678"),
            ("0612345678", "+390612345678"),
            ("55501", "55501"),
        ] {
            assert!(same_phone(a, b) && same_phone(b, a), "{a} {b}");
        }
    }

    #[test]
    fn a_withheld_caller_is_known_by_what_carriers_write() {
        for party in [
            "sip:anonymous@anonymous.invalid",
            "sip:c8oqz84zk7z@anonymous.invalid;transport=udp",
            "Anonymous",
            "sip:Restricted@carrier.example",
            "unknown",
            "sip:unavailable@203.0.113.1:5060",
        ] {
            assert!(is_withheld(party), "{party}");
        }
        for party in [
            "+12025550123",
            "sip:alice@127.0.0.1",
            "sip:ann@unknown.example",
            "",
        ] {
            assert!(!is_withheld(party), "{party}");
        }
    }

    #[test]
    fn what_is_sent_is_the_number_alone() {
        assert_eq!(
            phone_number("sip:+12025550123@host").as_deref(),
            Some("+12025550123")
        );
        assert_eq!(
            phone_number("0044 20 7946 0123").as_deref(),
            Some("+442079460123")
        );
        for party in [
            "sip:alice@127.0.0.1",
            "anonymous",
            "",
            "101",
            "+1+2025550123",
        ] {
            assert_eq!(phone_number(party), None, "{party}");
        }
    }

    #[test]
    fn an_address_is_compared_without_case() {
        assert_eq!(
            email_key(" Ada@Example.COM ").as_deref(),
            Some("ada@example.com")
        );
        for address in ["ada", "@example.com", "ada@localhost", "a b@example.com"] {
            assert_eq!(email_key(address), None, "{address}");
        }
    }
}
