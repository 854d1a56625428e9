//! What a carrier's refusal says, and what has to be changed: for `offhook doctor`, and for whoever
//! looks at how a trunk stands.

use std::time::Duration;

/// How a registration that failed stands, in words: what was answered, the header or the trouble with
/// the connection that says why, what to do, and when it is tried again.
pub(super) fn failed_registration(
    (status, reason): (u16, &str),
    why: &[String],
    retry_in: Duration,
) -> String {
    let why = match why.is_empty() {
        true => String::new(),
        false => format!(" ({})", why.join("; ")),
    };
    let (mend, seconds) = (of_registration(status), retry_in.as_secs());
    format!("failed with {status} {reason}{why}: {mend}; tried again in {seconds} s")
}

/// What to do about a REGISTER's answer.
pub(crate) fn of_registration(status: u16) -> &'static str {
    match status {
        401 | 407 => {
            "the password or the user is wrong: check `username`, `password` and, where the carrier gives a user for that apart, `auth_username`"
        }
        403 => {
            "the carrier refuses this user: check `username` and `password`, that the account is active, and whether it allows your address"
        }
        404 => {
            "the carrier does not know this user: check `username` and `host`, which is also the user's domain unless `username` names one"
        }
        423 => "the carrier wants a longer registration: raise `expires_s`",
        408 => {
            "nobody answered in time: check `host`, `port` and `transport`, and that no firewall drops what is sent or what comes back"
        }
        420 | 421 => {
            "the registrar wants an extension that we do not have: ask it which can be switched off"
        }
        480 | 500..=599 => {
            "the registrar, or the connection to it, has trouble: try again later, or its other address"
        }
        _ => "ask the carrier what it means by that, with the time and your user",
    }
}

/// What to do about an INVITE's answer.
pub(crate) fn of_call(status: u16) -> &'static str {
    match status {
        401 | 407 => "the credentials are wrong or missing: check `username` and `password`",
        402 => "the account has no credit",
        403 => {
            "the carrier does not let you call that: check that your address is allowed, that `caller_id` is a number of yours in the form that it wants, and that the country is unlocked"
        }
        404 => {
            "the carrier knows no such number: check its form (most want +, country code, number)"
        }
        408 | 480 => "the other side is not there now",
        415 | 488 => {
            "no codec in common, or the carrier wants SRTP (or none): check `codecs` and `srtp`"
        }
        420 => {
            "the carrier wants an extension that we do not have: ask it which can be switched off"
        }
        482 | 483 => "the call comes back to where it was: check the route at the carrier",
        484 => "the number is not complete",
        486 | 600 => "the line is busy: the trunk itself works",
        487 => "it was given up before the answer",
        503 => {
            "the carrier is overloaded, or over its calls a second for you: see `max_cps` and `max_calls`"
        }
        603 | 607 | 608 => "the call was declined, by a person or as unwanted",
        500..=599 => "the carrier has trouble: try again later, and tell it the time",
        _ => "ask the carrier what it means by that, with the time and the number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_that_failed_says_the_answer_the_header_and_the_likely_mend() {
        let said = ["Warning: 399 sbc \"Account suspended\"".to_owned()];
        let wait = Duration::from_secs(61);
        assert_eq!(
            failed_registration((403, "Forbidden"), &said, wait),
            "failed with 403 Forbidden (Warning: 399 sbc \"Account suspended\"): the carrier refuses this \
             user: check `username` and `password`, that the account is active, and whether it allows \
             your address; tried again in 61 s"
        );
        let text = failed_registration((408, "Request Timeout"), &[], wait);
        assert!(text.starts_with("failed with 408 Request Timeout: nobody answered"));
    }

    #[test]
    fn each_refusal_has_a_mend() {
        for status in 300..700 {
            assert!(of_registration(status).len() > 10, "{status}");
            assert!(of_call(status).len() > 10, "{status}");
        }
    }
}
