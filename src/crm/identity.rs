//! Who a contact is: numbers and addresses in a form that can be compared.

/// Digits that are compared: a number's end is the same with and without its country code.
const COMPARED_DIGITS: usize = 9;
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

/// Returns the key under which a phone number's work is done one after the other: its last nine
/// digits, so that the national and the international spelling of a number share one.
pub fn phone_key(party: &str) -> Option<String> {
    let number = phone_number(party)?;
    let digits = number.trim_start_matches('+');
    let end = digits.len().saturating_sub(COMPARED_DIGITS);
    digits.get(end..).map(str::to_owned)
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
