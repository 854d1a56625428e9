//! What becomes of a call outside of the switch: sinks, and the outbox that feeds them.
//!
//! A call's final record and the rows that tell of it are one database transaction
//! ([`crate::store`]); [`Sinks`] says which rows those are, [`Delivery`] carries them out. Nothing
//! here is on a call's path but [`Sinks::look_up`], which has a deadline.

mod backoff;
mod delivery;
mod error;
mod http;
pub mod identity;
mod plan;
pub mod ploink;
mod sinks;
pub mod stand_in;
pub mod template;

pub use crate::config::Secret;
pub use delivery::{Delivery, DeliveryOptions, STOP_GRACE};
pub use error::{Retry, SinkError};
pub use plan::Kind;
pub(crate) use plan::given_names;
pub(crate) use ploink::CRM_CONTACT;
pub use sinks::Sinks;
