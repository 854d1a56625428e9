//! The pure core of the switch: which agent a call goes to, which trunk it leaves by, who is
//! registered, and the life of one call. No clock, no socket, no task.

mod account;
mod call;
mod cause;
mod diversion;
mod number;
mod number_plan;
mod pin;
mod reach;
mod redirect;
mod registrar;
mod route;
mod trunk;
mod trunk_load;
mod whereabouts;

pub use account::{contact_user, own_hosts, own_numbers};
pub use call::{Call, CallState, Direction, EndReason, Outcome};
pub use cause::Cause;
pub use diversion::{Diverted, Why, diversion_field, numbers_of};
pub use number::{Number, normalised};
pub use number_plan::NumberPlan;
pub use pin::{PinVerdict, WrongPins};
pub use reach::{Hop, Outcome as Reached, Reach, Standing};
pub use redirect::{RedirectTerms, Redirected, Redirects};
pub use registrar::{Binding, Instance, Refused, Registrar, Wanted, path_of};
pub use route::{RouteTable, Routed, Towards, trunk_order};
pub use trunk::{Dial, DialError, Dialled, Target, Trunk, TrunkKind, TrunkTable};
pub use trunk_load::{CallRate, TrunkBusy, TrunkLimits, TrunkLoad, Way};
pub use whereabouts::Whereabouts;
