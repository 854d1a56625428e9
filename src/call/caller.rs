//! Who calls: by whom a call is routed, and what of that is told to whoever is called.

use offhook_sip::message::NameAddr;
use offhook_sip::{Incoming, Source};

use super::headers::split_at_commas;
use super::inbound::party;
use crate::crm::identity::is_withheld;
use crate::switch::{Number, NumberPlan, normalised};

/// The longest display name that is passed on.
const DISPLAY_MAX: usize = 64;
/// The longest identity that a flow is told of, in bytes.
const ASSERTED_MAX: usize = 512;
/// What stands for who is not to be known (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "anonymous";

/// Whom a call is routed by. A user is who it has proven to be; a trunk's caller is who it says, or,
/// where it withholds that, whom the trunk asserts: what a carrier tells us of its callers stays here
/// (RFC 3325 §7).
pub(super) fn routed_as(invite: &Incoming) -> String {
    match &invite.source {
        Source::User(name) => name.clone(),
        Source::Trunk(_) if withholds(invite) => {
            asserted(invite).unwrap_or_else(|| normalised(&invite.from.user))
        }
        Source::Trunk(_) | Source::Local => normalised(&invite.from.user),
    }
}

/// What a trunk's caller shows on another trunk: its number, or that it withholds it.
pub(super) fn shown_on_trunk(invite: &Incoming) -> String {
    // Our own number would stand for a stranger.
    let number = Number::parse(&invite.from.user).filter(|_| !is_private(invite));
    number.map_or_else(|| ANONYMOUS.to_owned(), |number| number.to_string())
}

/// What a phone shows of who calls, as a name-addr: an own user by the name that it has proven,
/// others as they say, nobody who does not want it.
pub(super) fn shown_to_user(invite: &Incoming, own_host: &str) -> String {
    let user = match &invite.source {
        _ if is_private(invite) => return format!("<sip:{ANONYMOUS}@{own_host}>"),
        Source::User(name) => name.clone(),
        Source::Trunk(_) | Source::Local => normalised(&invite.from.user),
    };
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "+-_.".contains(*c);
    let user: String = user.chars().filter(allowed).take(DISPLAY_MAX).collect();
    let user = if user.is_empty() { "unknown" } else { &user };
    let printed = |c: &char| !c.is_control() && !matches!(c, '"' | '\\');
    let display = invite.from.display.chars().filter(printed);
    let display: String = display.take(DISPLAY_MAX).collect();
    match display.trim() {
        "" => format!("<sip:{user}@{own_host}>"),
        display => format!("\"{display}\" <sip:{user}@{own_host}>"),
    }
}

/// Whether nobody but us may learn who calls.
pub(super) fn is_private(invite: &Incoming) -> bool {
    let proven = matches!(invite.source, Source::User(_));
    (withholds(invite) && !proven) || asks_for_privacy(invite)
}

/// Whether the From says nothing of who calls.
fn withholds(invite: &Incoming) -> bool {
    is_withheld(&party(&invite.from.user, &invite.from.uri))
}

/// Whether the caller wants its identity kept from whom it calls: by `id` (RFC 3325 §9.3), `user` or
/// `header` (RFC 3323 §4.2).
fn asks_for_privacy(invite: &Incoming) -> bool {
    let wanted = |value: &str| {
        let value = value.trim();
        ["id", "user", "header"]
            .iter()
            .any(|kind| value.eq_ignore_ascii_case(kind))
    };
    values(invite, "Privacy").any(|value| value.split([';', ',']).any(wanted))
}

/// The number that a trunk asserts (RFC 3325 §9.1).
fn asserted(invite: &Incoming) -> Option<String> {
    let number = |address: NameAddr<'_>| {
        Number::parse(&address.uri.user_text()).map(|number| number.to_string())
    };
    asserted_addresses(invite).find_map(number)
}

/// Whom a trunk asserts that a call is from, for who may know: its number, as all are written, or its
/// URI where it has none. Nobody but a trunk is believed, and nothing is told of who wants privacy:
/// what a flow is told goes on to models and to the CRM (RFC 3325 §7).
pub(super) fn asserted_identity(invite: &Incoming, plan: &NumberPlan) -> Option<String> {
    if !matches!(invite.source, Source::Trunk(_)) || is_private(invite) {
        return None;
    }
    let number = asserted(invite).map(|number| plan.read(&number));
    let uri = || asserted_addresses(invite).next();
    let uri = || uri().map(|address| address.uri.as_str().to_owned());
    number
        .or_else(uri)
        .filter(|told| told.len() <= ASSERTED_MAX)
}

fn asserted_addresses(invite: &Incoming) -> impl Iterator<Item = NameAddr<'_>> {
    let named = values(invite, "P-Asserted-Identity").flat_map(split_at_commas);
    named.filter_map(|value| NameAddr::parse(value.trim()))
}

/// The values of a header field, in order.
pub(super) fn values<'i>(
    invite: &'i Incoming,
    name: &'static str,
) -> impl Iterator<Item = &'i str> {
    let headers = invite.headers.iter();
    headers.filter_map(move |(n, value)| n.eq_ignore_ascii_case(name).then_some(value.as_str()))
}

/// A call for tests.
#[cfg(test)]
pub(super) fn incoming(source: Source, user: &str, headers: &[(&str, &str)]) -> Incoming {
    use offhook_sip::{Flow, Party, Transport};

    let address = "192.0.2.1:5060".parse().unwrap();
    let told = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Incoming {
        request_uri: "sip:100@192.0.2.1".to_owned(),
        from: Party {
            display: "Ada".to_owned(),
            uri: format!("sip:{user}@192.0.2.2"),
            user: user.to_owned(),
        },
        to: Party::default(),
        call_id: "1".to_owned(),
        headers: headers.iter().map(told).collect(),
        offer: None,
        content_type: None,
        replaces: None,
        replaces_is_early_only: false,
        source,
        flow: Flow {
            transport: Transport::Udp,
            local: address,
            remote: address,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk() -> Source {
        Source::Trunk("carrier".to_owned())
    }

    const ASSERTED: (&str, &str) = (
        "P-Asserted-Identity",
        "\"Ada\" <sip:+1-202-555-0143@carrier.example>, <tel:+12025550143>",
    );

    #[test]
    fn who_wants_privacy_is_shown_to_nobody() {
        for privacy in ["id", "Id; critical", "user;header", "header"] {
            let headers = [("privacy", privacy), ASSERTED];
            let invite = incoming(trunk(), "+12025550143", &headers);
            assert_eq!(shown_on_trunk(&invite), "anonymous", "{privacy}");
            assert_eq!(shown_to_user(&invite, "h"), "<sip:anonymous@h>");
        }
        let user = incoming(Source::User("ada".to_owned()), "ada", &[("Privacy", "id")]);
        assert_eq!(shown_to_user(&user, "h"), "<sip:anonymous@h>");
        for other in ["none", "session", "critical", "identity"] {
            let invite = incoming(trunk(), "+12025550143", &[("Privacy", other)]);
            assert_eq!(shown_on_trunk(&invite), "+12025550143", "{other}");
            assert_eq!(shown_to_user(&invite, "h"), "\"Ada\" <sip:+12025550143@h>");
        }
    }

    #[test]
    fn a_flow_is_told_whom_a_trunk_asserts_and_nobody_else_is_believed() {
        let plan = NumberPlan {
            country_code: Some("44".to_owned()),
            ..NumberPlan::default()
        };
        let told = |source, user: &str, headers: &[(&str, &str)]| {
            asserted_identity(&incoming(source, user, headers), &plan)
        };
        let shown = "+442079460199";
        let identity = |value| [("P-Asserted-Identity", value)];
        for (value, wanted) in [
            (ASSERTED.1, "+12025550143"),
            (
                "\"Lovelace, Ada\" <sip:02079460143@c.example>",
                "+442079460143",
            ),
            ("<sip:ada@c.example>, <tel:02079460143>", "+442079460143"),
            ("\"Ada\" <sip:ada@c.example;x=1>", "sip:ada@c.example;x=1"),
        ] {
            let told = told(trunk(), shown, &identity(value));
            assert_eq!(told.as_deref(), Some(wanted), "{value}");
        }
        assert_eq!(told(trunk(), shown, &identity("<sip:")), None);
        assert_eq!(told(trunk(), shown, &[]), None);
        for source in [Source::Local, Source::User("ada".to_owned())] {
            assert_eq!(told(source, shown, &[ASSERTED]), None);
        }
        let private = [("Privacy", "id"), ASSERTED];
        assert_eq!(told(trunk(), shown, &private), None);
        assert_eq!(told(trunk(), "anonymous", &[ASSERTED]), None);
    }

    #[test]
    fn what_a_trunk_asserts_of_who_withholds_its_number_routes_the_call_and_is_told_nobody() {
        let headers = [("Privacy", "id"), ASSERTED];
        let invite = incoming(trunk(), "anonymous", &headers);
        assert_eq!(routed_as(&invite), "+12025550143");
        assert_eq!(shown_on_trunk(&invite), "anonymous");
        assert_eq!(shown_to_user(&invite, "h"), "<sip:anonymous@h>");
        // Who is none of the carriers asserts nothing.
        assert_eq!(
            routed_as(&incoming(Source::Local, "anonymous", &headers)),
            "anonymous"
        );
        // Who shows a number is routed by it.
        assert_eq!(routed_as(&incoming(trunk(), "+44 20", &headers)), "+4420");
        assert_eq!(routed_as(&incoming(trunk(), "anonymous", &[])), "anonymous");
    }
}
