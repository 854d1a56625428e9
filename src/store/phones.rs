//! Where users' phones are reached, kept so that a restart forgets none of them: a phone that has
//! registered for an hour does so again after an hour, whatever became of us meanwhile.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::write::Write;
use super::{Store, StoreError, rfc3339, sqlite};

/// One contact of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneRecord {
    /// The contact URI.
    pub contact: String,
    /// Over what it is reached, as a Via names it.
    pub transport: String,
    /// From where.
    pub local: SocketAddr,
    /// At which address.
    pub remote: SocketAddr,
    /// The proxies in between, the first of them first.
    #[serde(default)]
    pub path: Vec<String>,
    /// The Call-ID of its last REGISTER …
    pub call_id: String,
    /// … and its number.
    pub cseq: u32,
    /// Which phone it is, where it says so …
    #[serde(default)]
    pub instance: Option<String>,
    /// … and which flow of it.
    #[serde(default)]
    pub reg_id: Option<u32>,
    /// Until when it is bound, UTC.
    #[serde(with = "rfc3339")]
    pub expires_at: Timestamp,
}

impl Store {
    /// Keeps all that is bound of a user, in place of what was before; returns at once, and a full
    /// queue drops it.
    pub fn remember_phones(&self, user: &str, phones: Vec<PhoneRecord>) {
        let user = user.to_owned();
        self.keep_if_there_is_room(Write::RememberPhones { user, phones });
    }

    /// Returns what was bound of each user.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the database cannot be read.
    pub async fn phones(&self) -> Result<Vec<(String, Vec<PhoneRecord>)>, StoreError> {
        Ok(sqlite::phones(&self.reads).await?)
    }
}
