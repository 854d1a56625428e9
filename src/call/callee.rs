//! Whom a call of the switch's own is to reach: one that an agent gives to a person or places itself,
//! and a supervisor's. They are found as whoever calls finds them, by user, route and trunk.

use std::time::Duration;

use super::busy::Busy;
use super::codecs::Codecs;
use super::dial::Dialling;
use super::hunt::{Called, Stage};
use super::outbound::Callee;
use super::services::Services;
use super::trunk_load::TrunkPlace;
use crate::clock;
use crate::config::{Asked, Hunt, RouteTarget, WeightedTrunk};
use crate::switch::{Binding, Dial, DialError, Number, RedirectTerms, Target, Why, normalised};
use crate::switchboard::own_host;

/// How long a phone may ring where nothing else says it.
const PHONE_RINGS: Duration = Duration::from_secs(60);

/// Explains why somebody cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum CalleeError {
    /// The user has no phone now, nor has any of several.
    #[error("no phone of user {0:?} has registered")]
    NoPhone(String),
    /// A route refuses whoever calls there.
    #[error("the route of {0:?} rejects it: {1}")]
    Rejected(String, &'static str),
    /// No trunk leads there, or it is no number and no URI.
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// Who is to be reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// A user's name, whatever a route leads to, a number or a SIP URI.
    pub to: &'a str,
    /// The agent in whose name that is; nobody's where it is empty.
    pub by: &'a str,
    /// The one trunk to go over; none leaves it to the routes, and to the order of the trunks.
    pub trunk: Option<&'a str>,
    /// The number to show; none is the trunk's.
    pub from: Option<&'a str>,
}

/// Those who are rung for it, one stage after the other until somebody answers.
pub struct Callees {
    pub(super) stages: Vec<Stage>,
    /// The place on the first one's trunk, once it is taken.
    pub(super) place: Option<TrunkPlace>,
}

impl Services {
    /// Finds whom to call.
    ///
    /// An agent is nobody's caller: a route with `from_trunk` or `headers` is none of its ways, and
    /// one with `from` only where that fits its name.
    ///
    /// # Errors
    /// When no phone is there, the route rejects it, or no trunk leads there.
    pub fn callees(&self, wanted: Wanted<'_>) -> Result<Callees, CalleeError> {
        let Wanted { to, trunk, .. } = wanted;
        if trunk.is_none() {
            if self.config.users.iter().any(|user| user.name == to) {
                let stages = self.at_users(&[to.to_owned()], Hunt::All, wanted)?;
                return Ok(Callees::of(stages));
            }
            if let Some(found) = self.by_route(wanted) {
                return found.map(Callees::of);
            }
        }
        let dial = Dial {
            to: Target::parse(to)?,
            trunk: trunk.map(str::to_owned),
            from: wanted.from.map(str::to_owned),
        };
        let ways = self.trunks.ways(&dial, &own_host(self))?;
        let stages = ways.into_iter().map(Stage::over).collect();
        Ok(Callees::of(self.down_last(stages)))
    }

    /// Finds whom a route leads to, one target after the other, as far as they can be called.
    fn by_route(&self, wanted: Wanted<'_>) -> Option<Result<Vec<Stage>, CalleeError>> {
        let to = wanted.to.trim();
        let called = normalised(to.strip_prefix("tel:").unwrap_or(to));
        let routed = self.routes.way_out(&Asked {
            to: &called,
            from: wanted.by,
            trunk: None,
            headers: &[],
            at: self.epoch.timestamp(clock::now()),
        })?;
        let (mut all, mut first_error) = (Vec::new(), None);
        for (step, target) in routed.targets().enumerate() {
            let stages = match target.whom {
                RouteTarget::Users { names, hunt } => self.at_users(names, *hunt, wanted),
                RouteTarget::Trunks(trunks) => {
                    // Over a trunk only numbers are called.
                    let number = Number::parse(target.to.unwrap_or(&called))?;
                    self.over_trunks(trunks, &number, wanted)
                }
                RouteTarget::Reject(cause) => {
                    Err(CalleeError::Rejected(called.clone(), cause.as_str()))
                }
                // No agent is called by another.
                RouteTarget::Agent(_) | RouteTarget::Room(_) => break,
            };
            match stages {
                Ok(stages) => all.extend(Stage::of_step(stages, step, target.ring)),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error.filter(|_| all.is_empty()) {
            Some(error) => Some(Err(error)),
            None => Some(Ok(all)),
        }
    }

    /// The ways to a number over some trunks.
    fn over_trunks(
        &self,
        trunks: &[WeightedTrunk],
        number: &Number,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Stage>, CalleeError> {
        let way = |trunk: &str| {
            let dial = Dial {
                to: Target::Number(number.clone()),
                trunk: Some(trunk.to_owned()),
                from: wanted.from.map(str::to_owned),
            };
            self.trunks.dial(&dial, &own_host(self)).map(Stage::over)
        };
        let order = self.trunk_states.order_of(trunks).into_iter();
        let stages: Result<Vec<_>, _> = order.map(way).collect();
        Ok(self.down_last(stages?))
    }

    /// The phones of users, of whom some may have none.
    fn at_users(
        &self,
        names: &[String],
        hunt: Hunt,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Stage>, CalleeError> {
        let shown = wanted.from.and_then(|from| self.shown_to_phone(from));
        let phones = |user: &String| {
            let callee = self.phones_of(user)?;
            Some(Called::new(callee, user, shown.clone()))
        };
        let there: Vec<Called> = names.iter().filter_map(phones).collect();
        match there.is_empty() {
            true => Err(CalleeError::NoPhone(names.join(", "))),
            false => Ok(Stage::of_users(there, hunt)),
        }
    }

    /// Finds the phones that a user has registered, the latest first; none where there is no phone.
    #[must_use]
    pub fn phones_of(&self, user: &str) -> Option<Callee> {
        let (now, from) = (clock::now(), format!("<sip:offhook@{}>", own_host(self)));
        let registrar = self.registrar();
        let phone = |binding: &Binding| Dialling {
            pinned: true,
            local: Some(binding.flow.local),
            route: binding.path.clone(),
            codecs: Codecs::configured(&self.config, None),
            srtp: self.config.user_srtp(user),
            ring_timeout: PHONE_RINGS,
            redirects: RedirectTerms::of_address(binding.flow.remote.ip()),
            ..Dialling::new(
                binding.contact.clone(),
                from.clone(),
                vec![binding.flow.remote],
                binding.flow.transport,
            )
        };
        let bindings = registrar.bindings(now, user).into_iter();
        let phones: Vec<_> = bindings.map(phone).collect();
        (!phones.is_empty()).then_some(Callee::Registered(phones))
    }

    /// Leaves what cannot be reached to the last.
    fn down_last(&self, mut stages: Vec<Stage>) -> Vec<Stage> {
        stages.sort_by_key(|stage| stage.trunk().is_some_and(|name| self.trunk_is_down(name)));
        stages
    }

    /// Whom we have called, as a name-addr for a phone that takes the call over; none where it is
    /// no number or name.
    #[must_use]
    pub fn shown_to_phone(&self, remote: &str) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        let is_user = !remote.is_empty() && remote.chars().all(allowed);
        is_user.then(|| format!("<sip:{remote}@{}>", own_host(self)))
    }
}

impl Callees {
    fn of(stages: Vec<Stage>) -> Self {
        Self {
            stages,
            place: None,
        }
    }

    /// Who is called first.
    pub(super) fn first(&self) -> Option<&Callee> {
        let called = self.stages.first()?.callees.first()?;
        Some(&called.callee)
    }

    /// The trunk that the call leaves by first.
    #[must_use]
    pub fn trunk(&self) -> Option<&str> {
        self.stages.first()?.trunk()
    }

    /// What is shown first of who calls: a number stands for itself. None where phones ring.
    #[must_use]
    pub fn shows(&self) -> Option<String> {
        self.stages.first()?.shows()
    }

    /// How many places may ring at once.
    #[must_use]
    pub fn places(&self) -> usize {
        self.stages.iter().map(Stage::places).max().unwrap_or(1)
    }

    /// Leaves only the best of the places of each stage.
    pub fn keep_best(&mut self) {
        self.stages.iter_mut().for_each(Stage::keep_best);
    }

    /// Takes a place on the first trunk that has one, and passes over those that have none.
    ///
    /// # Errors
    /// When none has: with what the first says.
    pub fn take_trunk(&mut self, services: &Services) -> Result<(), Busy> {
        let mut first = None;
        while let Some(stage) = self.stages.first() {
            match stage.take_trunk(services) {
                Ok(place) => {
                    self.place = place;
                    return Ok(());
                }
                Err(busy) => {
                    first.get_or_insert(busy);
                    self.stages.remove(0);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Shows phones this of who calls, as a name-addr.
    pub(super) fn show_phones(&mut self, from: Option<String>) {
        for called in self.called() {
            if matches!(called.callee, Callee::Registered(_)) {
                called.from.clone_from(&from);
            }
        }
    }

    /// Tells each trunk, as it wants it, whom the call was for.
    pub(super) fn tell_diversion(&mut self, services: &Services, before: &[Number]) {
        for called in self.called() {
            if let Callee::Dialled(dialled) = &called.callee {
                let field = services.diversion(dialled, before, Why::Deflection);
                called.headers.extend(field);
            }
        }
    }

    fn called(&mut self) -> impl Iterator<Item = &mut Called> {
        self.stages.iter_mut().flat_map(|stage| &mut stage.callees)
    }
}
