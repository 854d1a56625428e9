//! What the configuration makes of the user agent.

use offhook_sip::{
    Access, Advertise, Guard, Reliable, SessionTimer, Settings, Timers, TrunkPeer, UserSecret,
};
use rand::Rng;

use crate::config::{self, Config};

/// Which of our addresses messages name.
pub(super) fn advertise(config: &Config) -> Advertise {
    Advertise {
        public: config.sip.public_address,
        local_networks: networks(&config.sip.local_networks),
    }
}

fn networks(configured: &[config::Network]) -> Vec<offhook_sip::Network> {
    let networks = configured.iter();
    networks
        .filter_map(|network| network.to_string().parse().ok())
        .collect()
}

/// What the user agent of the switch is told.
pub(super) fn sip_settings(config: &Config, trunks: Vec<TrunkPeer>) -> Settings {
    // A bridged call has two, and so has one with a supervisor.
    let dialogs = config.limits.max_calls.saturating_mul(2);
    let users = config.users.iter().map(|user| UserSecret {
        name: user.name.clone(),
        password: user.password.expose().to_owned(),
    });
    Settings {
        product: concat!("Offhook/", env!("CARGO_PKG_VERSION")).to_owned(),
        timers: Timers::default(),
        session: SessionTimer {
            expires_s: config.sip.session_expires_s,
            min_se_s: config.sip.min_se_s,
        },
        // Calls that have ended for us wait for their BYE's answer, and take no place.
        max_calls: dialogs.saturating_mul(2).max(64),
        max_transactions: config.limits.max_calls.saturating_mul(16).max(4096),
        seed: rand::rng().random(),
        advertise: advertise(config),
        access: Access {
            trunks,
            users: users.collect(),
            realm: config.sip.realm.clone(),
            digests: config.sip.digest.iter().map(|named| named.0).collect(),
            open_loopback: config.sip.is_loopback_only(),
        },
        guard: Guard {
            messages_per_s: config.limits.messages_per_s,
            trusted: networks(&config.sip.trusted_networks),
            ..Guard::default()
        },
        transfers: true,
        retry_after_s: config.limits.retry_after_s,
        reliable: Reliable::Supported,
    }
}
