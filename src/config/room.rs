//! `[[room]]`: conference rooms that have more to say than their name.

use std::collections::BTreeSet;

use super::reader::{Reader, Section};
use super::secret::Secret;
use super::trunk::read_name;

/// The most parties that a room may have: as many as the mixer takes.
pub const PARTIES_MAX: usize = offhook_media::mixer::MAX_PARTIES;
/// Keys of a PIN: fewer are soon tried out, more are typed by nobody.
const PIN_KEYS: std::ops::RangeInclusive<usize> = 4..=12;

/// A conference room. One that a `[[route]]` names and no `[[room]]` describes is as
/// [`RoomConfig::plain`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomConfig {
    /// The name that routes, records and logs use.
    pub name: String,
    /// How many may be in it; the next gets 486.
    pub max_parties: usize,
    /// The keys that a caller must press before it is let in.
    pub pin: Option<Secret>,
}

impl RoomConfig {
    /// Describes a room of which nothing is said.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            max_parties: PARTIES_MAX,
            pin: None,
        }
    }

    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>) -> Vec<Self> {
        let mut names = BTreeSet::new();
        let mut rooms = Vec::new();
        for mut s in sections {
            let name = read_name(r, &mut s, &mut names);
            let most = PARTIES_MAX as u64;
            let max_parties = s.number(r, "max_parties", 2..=most, most);
            let pin = read_pin(r, &mut s);
            s.finish(r);
            if let Some(name) = name {
                rooms.push(Self {
                    name,
                    max_parties: usize::try_from(max_parties).unwrap_or(PARTIES_MAX),
                    pin,
                });
            }
        }
        rooms
    }
}

/// Reads a PIN, which is digits in quotation marks: a leading 0 is one of them.
fn read_pin(r: &mut Reader<'_>, s: &mut Section) -> Option<Secret> {
    let origin = s.origin_of("pin");
    let pin: Secret = s.opt(r, "pin")?;
    let digits = pin.expose().bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !PIN_KEYS.contains(&pin.expose().len()) {
        let (least, most) = (PIN_KEYS.start(), PIN_KEYS.end());
        let message = format!("is not {least} to {most} digits: write for instance \"0472\"");
        s.wrong(r, "pin", &origin, message);
        return None;
    }
    Some(pin)
}
