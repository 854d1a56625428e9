//! Whom a call is for, in the form that all share, whatever its trunk makes of that.

use offhook_sip::message::NameAddr;
use offhook_sip::uri::Uri;
use offhook_sip::{Incoming, Source};

use super::caller::values;
use super::services::Services;
use crate::switch::{NumberPlan, Trunk, normalised};

/// The called number, without its punctuation, or name: the Request-URI's, which proxies rewrite,
/// not the To's.
pub(super) fn called_party(invite: &Incoming) -> String {
    let parsed = Uri::parse(&invite.request_uri);
    parsed
        .map(|uri| normalised(&uri.user_text()))
        .unwrap_or_default()
}

/// How the trunk of a call writes numbers.
pub(super) fn plan_of(services: &Services, source: &Source) -> NumberPlan {
    let trunk = trunk_of(services, source);
    trunk.map(|trunk| trunk.plan.clone()).unwrap_or_default()
}

fn trunk_of<'s>(services: &'s Services, source: &Source) -> Option<&'s Trunk> {
    let Source::Trunk(name) = source else {
        return None;
    };
    let mut trunks = services.trunks.trunks().iter();
    trunks.find(|trunk| trunk.name == *name)
}

/// Writes whom a trunk's call is for into its Request-URI, where that has our registration alone, and
/// its numbers in the form that all share, from here on.
pub(super) fn unify_numbers(services: &Services, invite: &mut Incoming) {
    if let Some(trunk) = trunk_of(services, &invite.source) {
        unify(trunk, invite);
    }
}

fn unify(trunk: &Trunk, invite: &mut Incoming) {
    if let Some(user) = behind_registration(trunk, invite) {
        invite.request_uri = with_user(&invite.request_uri, &user);
    }
    invite.from.user = trunk.plan.read(&invite.from.user);
    let called = called_party(invite);
    let unified = trunk.plan.read(&called);
    if unified != called {
        invite.request_uri = with_user(&invite.request_uri, &unified);
    }
}

/// Who is called by a call that a registrar sends to our Contact, which says nothing of that: whom
/// P-Called-Party-ID names (RFC 7315 §4.2), or To, or else our own address-of-record.
fn behind_registration(trunk: &Trunk, invite: &Incoming) -> Option<String> {
    let contact = trunk.contact_user.as_deref()?;
    let called = Uri::parse(&invite.request_uri).ok()?;
    if called.user_text() != contact {
        return None;
    }
    let own = trunk.username.as_deref();
    let is_own = |user: &str| [Some(contact), own].contains(&Some(user));
    let named = values(invite, "P-Called-Party-ID").find_map(user_of);
    let to = || Uri::parse(&invite.to.uri).ok()?.user;
    let to = || to().filter(|user| !user.is_empty() && !is_own(user));
    let user = named.or_else(to).or(own)?;
    Some(user.to_owned())
}

/// The user of an address, as it is written.
fn user_of(value: &str) -> Option<&str> {
    let address = NameAddr::parse(value.trim())?;
    address.uri.user.filter(|user| !user.is_empty())
}

/// A SIP or `tel` URI with another user.
fn with_user(uri: &str, user: &str) -> String {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return uri.to_owned();
    };
    match rest.split_once('@') {
        Some((_, host)) => format!("{scheme}:{user}@{host}"),
        None => {
            let params = rest.find(';').and_then(|at| rest.get(at..));
            format!("{scheme}:{user}{}", params.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::caller::incoming;
    use crate::cli::run;
    use crate::config::{Config, Env};

    fn carrier(more: &str) -> Trunk {
        let text = format!(
            "[[trunk]]\nname = \"carrier\"\nkind = \"register\"\nhost = \"carrier.test\"\n\
             username = \"us\"\npassword = \"secret\"\n{more}"
        );
        let config = Config::parse(&text, None, &Env::process()).unwrap();
        run::trunk(&config.trunks[0])
    }

    /// Who is called by a call to our Contact, if CONTACT stands there, with this To and these fields.
    fn called(trunk: &Trunk, uri: &str, to: &str, headers: &[(&str, &str)]) -> String {
        let source = Source::Trunk("carrier".to_owned());
        let mut invite = incoming(source, "02079460199", headers);
        invite.request_uri = uri.replace("CONTACT", trunk.contact_user.as_deref().unwrap());
        invite.to.uri = to.to_owned();
        unify(trunk, &mut invite);
        called_party(&invite)
    }

    const CONTACT: &str = "sip:CONTACT@192.0.2.1:5060;line=1";

    #[test]
    fn a_call_to_our_contact_is_for_whom_its_header_fields_name() {
        let trunk = carrier("country_code = \"44\"\n");
        let party = [(
            "p-called-party-id",
            "\"Us\" <sip:02079460100@carrier.test>;x=1",
        )];
        let tel = [("P-Called-Party-ID", "<tel:+44-20-7946-0101>")];
        let broken = [("P-Called-Party-ID", "<sip:")];
        for (to, headers, wanted) in [
            ("sip:02079460102@carrier.test", &party[..], "+442079460100"),
            ("sip:02079460102@carrier.test", &tel, "+442079460101"),
            ("sip:02079460102@carrier.test", &broken, "+442079460102"),
            ("sip:02079460102@carrier.test", &[], "+442079460102"),
            ("tel:+442079460102", &[], "+442079460102"),
            ("sip:%2B442079460102@carrier.test", &[], "+442079460102"),
            ("sip:us@carrier.test", &[], "us"),
            ("sip:carrier.test", &[], "us"),
            ("sip:sales@carrier.test", &[], "sales"),
            ("", &[], "us"),
        ] {
            assert_eq!(
                called(&trunk, CONTACT, to, headers),
                wanted,
                "{to} {headers:?}"
            );
        }
        // A registrar that writes our Contact into To as well says no more by that.
        let to = CONTACT.replace("CONTACT", trunk.contact_user.as_deref().unwrap());
        assert_eq!(called(&trunk, CONTACT, &to, &[]), "us");
        let numbered = Trunk {
            username: Some("02079460105".to_owned()),
            ..trunk
        };
        let to = "sip:02079460105@carrier.test";
        assert_eq!(called(&numbered, CONTACT, to, &[]), "+442079460105");
    }

    #[test]
    fn a_call_whose_request_uri_says_whom_it_is_for_is_for_nobody_else() {
        let trunk = carrier("country_code = \"44\"\n");
        let party = [("P-Called-Party-ID", "<sip:02079460100@carrier.test>")];
        let to = "sip:02079460102@carrier.test";
        let uri = "sip:02079460103@192.0.2.1";
        assert_eq!(called(&trunk, uri, to, &party), "+442079460103");
        assert_eq!(called(&trunk, "sip:us@192.0.2.1", to, &party), "us");
    }
}
