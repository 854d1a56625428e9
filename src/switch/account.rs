//! By what a trunk's calls are told from those of another account at the same carrier.

use sha2::{Digest, Sha256};

use super::number::Number;
use super::number_plan::NumberPlan;
use crate::config::{TrunkConfig, TrunkKind};

/// The user part of the Contact that we register with a trunk; none where we do not register.
///
/// Each trunk has its own, so that a call to it says by itself which account it is for. It is made
/// of what the configuration says: after a restart the binding that the registrar still has is the
/// same. It is no secret: a call that names it comes from its trunk's networks as well.
#[must_use]
pub fn contact_user(trunk: &TrunkConfig) -> Option<String> {
    if trunk.kind != TrunkKind::Register {
        return None;
    }
    let user = trunk.aor_user().unwrap_or_default();
    let mut hash = Sha256::new_with_prefix("offhook contact");
    for part in [trunk.name.as_str(), user, trunk.domain()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    let digits = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
    // A letter first, so that it is no number.
    Some(std::iter::once("c".to_owned()).chain(digits).collect())
}

/// The hosts by which a trunk's calls may be addressed.
#[must_use]
pub fn own_hosts(trunk: &TrunkConfig) -> Vec<String> {
    let proxy = trunk.outbound_proxy.as_deref();
    let named = [trunk.host.as_str(), trunk.domain()]
        .into_iter()
        .chain(proxy);
    let named = named.map(host_alone).filter(|host| !host.is_empty());
    let mut hosts: Vec<String> = named.map(str::to_owned).collect();
    hosts.dedup();
    hosts
}

/// The numbers that a trunk is known to have, those that it may be shown as ours, in each form in
/// which it may write them, without `+`.
#[must_use]
pub fn own_numbers(trunk: &TrunkConfig) -> Vec<String> {
    let plan = NumberPlan::of(trunk);
    let shown = trunk.caller_ids.iter().map(ToString::to_string);
    let numbers = trunk.caller_id.iter().cloned().chain(shown);
    let forms = numbers.filter_map(|number| {
        // A pattern is no number, though `*` may be dialled.
        let written = Number::parse(&number).filter(|_| !number.contains(['*', '#']))?;
        Some([plan.read(written.as_str()), plan.write(&written), number])
    });
    let forms = forms.flatten();
    let mut numbers: Vec<String> = forms
        .map(|n| n.trim_start_matches('+').to_owned())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A host without its port.
fn host_alone(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    fn trunk(text: &str) -> TrunkConfig {
        let text = format!("[[trunk]]\nhost = \"sip.carrier.test\"\n{text}");
        let config = Config::parse(&text, None, &Env::process());
        config.unwrap().trunks[0].clone()
    }

    fn registered(name: &str, username: &str) -> TrunkConfig {
        trunk(&format!(
            "name = \"{name}\"\nkind = \"register\"\nusername = \"{username}\"\n\
             password = \"secret\"\n"
        ))
    }

    #[test]
    fn each_registration_has_a_contact_of_its_own_that_says_nothing_and_stays() {
        let first = contact_user(&registered("one", "us")).unwrap();
        assert_eq!(
            contact_user(&registered("one", "us")).as_ref(),
            Some(&first)
        );
        for other in [registered("two", "us"), registered("one", "them")] {
            assert_ne!(contact_user(&other).unwrap(), first);
        }
        let is_plain = first
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(
            is_plain && first.len() == 17 && first.starts_with('c'),
            "{first}"
        );
        assert_eq!(
            contact_user(&trunk("name = \"a\"\nkind = \"peer\"\n")),
            None
        );
    }

    #[test]
    fn a_trunk_s_hosts_and_numbers_are_those_of_its_configuration() {
        let mut trunk = trunk(
            "name = \"a\"\nkind = \"peer\"\noutbound_proxy = \"edge.carrier.test:5070\"\n\
             country_code = \"44\"\nnumbers = \"national\"\ncaller_id = \"+442079460100\"\n\
             caller_ids = [\"+442079460101\", \"+44208*\"]\n",
        );
        assert_eq!(own_hosts(&trunk), ["sip.carrier.test", "edge.carrier.test"]);
        assert_eq!(
            own_numbers(&trunk),
            ["02079460100", "02079460101", "442079460100", "442079460101"]
        );
        trunk.username = Some("us@ims.test".to_owned());
        assert_eq!(own_hosts(&trunk)[1], "ims.test");
    }
}
