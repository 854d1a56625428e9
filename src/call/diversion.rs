//! What a trunk is told of whom a call was for before it goes on over it.

use offhook_sip::{Incoming, Source};
use uuid::Uuid;

use super::called::called_party;
use super::caller::values;
use super::headers::{Of, had_it_before};
use super::outbound::sent_over;
use super::services::Services;
use crate::switch::{Dialled, Diverted, Number, Why, diversion_field, numbers_of};
use crate::switchboard::own_host;

/// Whom a call was for, the last of them first: the number that was called here, and those who had
/// it before, as a trunk tells that alone.
pub(super) fn called_before(invite: &Incoming) -> Vec<Number> {
    let here = called_party(invite);
    let before = match invite.source {
        // The whole history is nobody's (RFC 7044 §10.1.1).
        Source::Trunk(_) if hides_history(invite) => Vec::new(),
        Source::Trunk(_) => had_it_before(invite, Of::Public),
        Source::User(_) | Source::Local => Vec::new(),
    };
    let users = std::iter::once(here).chain(before);
    let users: Vec<String> = users.collect();
    numbers_of(users.iter().map(String::as_str))
}

/// Whether a call's caller wants nobody to know who had the call before.
fn hides_history(invite: &Incoming) -> bool {
    let mut wanted = values(invite, "Privacy").flat_map(|value| value.split([';', ',']));
    wanted.any(|kind| kind.trim().eq_ignore_ascii_case("history"))
}

impl Services {
    /// The header field that tells the trunk of a call whom the call was for, where it wants it.
    pub(super) fn diversion(
        &self,
        dialled: &Dialled,
        called: &[Number],
        why: Why,
    ) -> Option<(String, String)> {
        let name = dialled.trunk.as_deref()?;
        let config = self.config.trunk(name)?;
        let mut trunks = self.trunks.trunks().iter();
        let trunk = trunks.find(|trunk| trunk.name == name)?;
        let told = |(at, number): (usize, &Number)| Diverted {
            number: trunk.plan.write(number),
            // Why others before us let it go on is their affair.
            why: if at == 0 { why } else { Why::Unknown },
        };
        let diverted: Vec<Diverted> = called.iter().enumerate().map(told).collect();
        let uri = &dialled.request_uri;
        let field = diversion_field(config.diversion, &diverted, uri, &own_host(self))?;
        sent_over(Some(config), vec![field]).pop()
    }

    /// Notes whom a call is for that an agent takes, for a trunk over which it may go on.
    pub(super) fn note_called(&self, id: Uuid, called: Vec<Number>) {
        if let Some(call) = self.live_calls().get_mut(&id) {
            call.called = called;
        }
    }
}
