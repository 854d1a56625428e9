//! What becomes of users' phones between their registrations: they are remembered over a restart, and
//! the way through their NAT is kept open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_sip::{Flow, OptionsPing, Transport};

use crate::call::Services;
use crate::clock::{self, Epoch};
use crate::net::sip::Sip;
use crate::store::PhoneRecord;
use crate::switch::{Binding, Instance, Wanted};

/// How often it is looked whose NAT wants something to pass.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Takes up what was bound before a restart.
pub(super) async fn restore(services: &Services) {
    let remembered = match services.store.phones().await {
        Ok(remembered) => remembered,
        Err(error) => {
            tracing::warn!(%error, "the phones of before the restart are not known");
            return;
        }
    };
    let (now, epoch) = (clock::now(), Epoch::take());
    let listeners = services.line.sip().listeners();
    let users = &services.config.users;
    let mut registrar = services.registrar();
    for (user, phones) in remembered {
        if !users.iter().any(|known| known.name == user) {
            continue;
        }
        let bindings = phones
            .iter()
            .filter_map(|phone| binding(phone, now, epoch))
            .collect();
        registrar.restore(now, &user, bindings, listeners);
    }
    let online = registrar.online(now);
    if online > 0 {
        tracing::info!(online, "users' phones of before the restart are known");
    }
}

/// Remembers all that is bound of a user.
pub(super) fn remember(services: &Services, user: &str) {
    let epoch = Epoch::take();
    let registrar = services.registrar();
    let bindings = registrar.all_of(user).iter();
    let phones = bindings.map(|binding| record(binding, epoch)).collect();
    drop(registrar);
    services.store.remember_phones(user, phones);
}

/// Sends OPTIONS to the phones behind NATs, each so often, until it is aborted: what goes
/// in and the answer that comes out both keep the NAT's mapping, which most forget after half a minute
/// without a packet.
pub(super) async fn keep_nats_open(services: Arc<Services>, every: Duration) {
    let mut looks = tokio::time::interval(LOOKS_EVERY);
    loop {
        looks.tick().await;
        let due = services.registrar().to_ping(clock::now(), every);
        for binding in due {
            tokio::spawn(ping(services.line.sip().clone(), binding));
        }
    }
}

/// Whatever the answer is, it came.
async fn ping(sip: Sip, binding: Binding) {
    let ping = OptionsPing {
        uri: binding.contact,
        flow: binding.flow,
        route: binding.path,
    };
    if let Err(error) = sip.ping(ping).await {
        tracing::debug!(%error, "a phone was not pinged");
    }
}

fn record(binding: &Binding, epoch: Epoch) -> PhoneRecord {
    let instance = binding.instance.as_ref();
    PhoneRecord {
        contact: binding.contact.clone(),
        transport: binding.flow.transport.via_name().to_owned(),
        local: binding.flow.local,
        remote: binding.flow.remote,
        path: binding.path.clone(),
        call_id: binding.call_id.clone(),
        cseq: binding.cseq,
        instance: instance.map(|instance| instance.id.clone()),
        reg_id: instance.and_then(|instance| instance.flow),
        expires_at: epoch.timestamp(binding.expires),
    }
}

/// What a record says, unless it is over.
fn binding(phone: &PhoneRecord, now: Instant, epoch: Epoch) -> Option<Binding> {
    let left = phone.expires_at.duration_since(epoch.timestamp(now));
    let expires = now + Duration::try_from(left).ok()?;
    let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let transport = all
        .into_iter()
        .find(|known| known.via_name() == phone.transport)?;
    let wanted = Wanted {
        contact: phone.contact.clone(),
        expires_s: 0,
        instance: phone.instance.clone().map(|id| Instance {
            id,
            flow: phone.reg_id,
        }),
    };
    let flow = Flow {
        transport,
        local: phone.local,
        remote: phone.remote,
    };
    let from = (phone.call_id.as_str(), phone.cseq);
    Some(Binding::new(&wanted, (flow, &phone.path), from, expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_a_phone_is_all_that_was_bound_and_no_longer() {
        let (now, epoch) = (clock::now(), Epoch::take());
        let flow = Flow {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "198.51.100.7:61234".parse().unwrap(),
        };
        let wanted = Wanted {
            contact: "sip:bob@10.0.0.7:5060;ob".to_owned(),
            expires_s: 300,
            instance: Some(Instance {
                id: "<urn:uuid:1>".to_owned(),
                flow: Some(1),
            }),
        };
        let path = ["<sip:edge.test;lr>".to_owned()];
        let expires = now + Duration::from_secs(300);
        let bound = Binding::new(&wanted, (flow, &path), ("call-id", 9), expires);
        let kept = record(&bound, epoch);
        let text = serde_json::to_string(&kept).unwrap();
        let kept: PhoneRecord = serde_json::from_str(&text).unwrap();
        let again = binding(&kept, now, epoch).unwrap();
        assert_eq!(again.flow, bound.flow);
        assert_eq!(again.instance, bound.instance);
        assert_eq!(record(&again, epoch), kept);
        assert_eq!(binding(&kept, now + Duration::from_secs(301), epoch), None);
    }
}
