//! The world of one run: the clock, the network, the switch, the callers, and what watches them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::{Timestamp, tz::TimeZone};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::caller::Caller;
use super::clock::{Action, Clock, Datagram, Input, Kind, Moment};
use super::fork::{self, Branches, SECOND};
use super::invariants::{Rule, Violation, Watch};
use super::ledger::Ledger;
use super::network::Network;
use super::plan::{CallerPlan, Plan};
use super::switch::{self, Switch};
use super::trace::Trace;
use crate::agent::WallClock;
use crate::crm::Sinks;
use crate::crm::ploink::PloinkConfig;
use crate::store::CallRecord;

const SWITCH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 5060);
/// When the calendar of every run begins: a Thursday morning.
const WALL_S: i64 = 1_780_582_000;
/// No run lasts longer.
const HORIZON: Duration = Duration::from_secs(3 * 3_600);
/// No run has more steps.
const STEPS: u64 = 30_000_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The first rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// A hash of all that happened: the same seed gives the same.
    pub hash: u64,
    /// The last that happened, in words.
    pub trace: Vec<String>,
    /// Virtual time until the last datagram was sent.
    pub elapsed: Duration,
    /// Calls that reached the switch.
    pub calls: usize,
    /// Calls that were answered.
    pub answered: usize,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// The records as the store keeps them.
    pub records: Vec<CallRecord>,
}

/// What everything in a run shares.
pub(super) struct Cx {
    pub(super) clock: Clock,
    pub(super) plan: Plan,
    pub(super) trace: Trace,
    pub(super) watch: Watch,
    network: Network,
    rng: StdRng,
    /// Where keys come from.
    pub(super) secrets: StdRng,
    violation: Option<Violation>,
    wall: WallClock,
    datagrams: u64,
    /// When the last datagram was sent.
    last_sent: Duration,
    /// Calls whose INVITE the switch has answered with 200.
    answered: Vec<bool>,
    /// INVITEs of the switch that ring at two phones.
    pub(super) branches: Vec<Branches>,
}

impl Cx {
    fn new(plan: Plan) -> Self {
        let clock = Clock::new();
        let start = Timestamp::from_second(WALL_S).unwrap_or_default();
        let wall = WallClock::new(clock.now(), start.to_zoned(TimeZone::UTC));
        Self {
            trace: Trace::new(),
            watch: Watch::new(plan.callers.len()),
            network: Network::new(plan.seed, plan.weather.clone()),
            rng: StdRng::seed_from_u64(plan.seed ^ 0x0074_6173_6B73),
            secrets: StdRng::seed_from_u64(plan.seed ^ 0x7365_6372_6574_7300),
            violation: None,
            wall,
            datagrams: 0,
            last_sent: Duration::ZERO,
            answered: vec![false; plan.callers.len()],
            branches: vec![Branches::default(); plan.callers.len()],
            clock,
            plan,
        }
    }

    /// Draws a number below `most`.
    pub(super) fn draw(&mut self, most: u64) -> u64 {
        self.rng.random_range(0..most.max(1))
    }

    pub(super) fn hits(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance)
    }

    /// Draws how long something takes from one task to another.
    pub(super) fn lag(&mut self) -> Duration {
        let most = self.plan.lag_ms * 1_000;
        Duration::from_micros(self.rng.random_range(0..=most))
    }

    pub(super) fn wall(&self) -> WallClock {
        self.wall.clone()
    }

    pub(super) fn timestamp(&self, at: Instant) -> Timestamp {
        self.wall.timestamp(at)
    }

    pub(super) fn note(&mut self, call: usize, line: impl FnOnce() -> String) {
        let line = format!("[{call}] {}", line());
        self.trace.line(self.clock.elapsed(), &line);
    }

    /// Takes note of a broken rule; the first one counts.
    pub(super) fn violate(&mut self, rule: Rule, call: usize, what: String) {
        let at = self.clock.elapsed();
        self.violation.get_or_insert(Violation {
            rule,
            call,
            at,
            what,
        });
    }

    /// How long the switch stood still in all.
    pub(super) fn standstill(&self) -> Duration {
        let all = self.plan.standstills.iter().map(|(_, for_ms)| for_ms);
        Duration::from_millis(all.sum())
    }

    /// Until when the switch stands still at `at`, if it does: one standstill may run into the
    /// next, and what waits keeps its order.
    fn stands_until(&self, at: Instant) -> Option<Instant> {
        let end_at = |at: Instant| {
            let standstills = self.plan.standstills.iter();
            let over = standstills.map(|(from, for_ms)| {
                let begin = self.clock.at_ms(*from);
                (begin, begin + Duration::from_millis(*for_ms))
            });
            over.filter(|(begin, end)| (*begin..*end).contains(&at))
                .map(|(_, end)| end)
                .max()
        };
        std::iter::successors(end_at(at), |end| end_at(*end)).last()
    }

    /// Sends a datagram: the network carries it, or not.
    pub(super) fn transmit(&mut self, datagram: Datagram, from_switch: bool) {
        let at = self.clock.elapsed();
        self.trace.bytes(at, &datagram.bytes);
        self.datagrams += 1;
        self.last_sent = at;
        let number = caller_of(if from_switch {
            datagram.to
        } else {
            datagram.from
        });
        if datagram.kind == Kind::Sip {
            self.witness(number, &datagram.bytes, from_switch);
            let loses = self.plan.callers.get(number).is_some_and(|c| c.loses_acks);
            if loses && !from_switch && datagram.bytes.starts_with(b"ACK ") {
                return;
            }
        }
        if datagram.kind == Kind::Rtp && from_switch && self.has_lost(number, datagram.to.ip()) {
            let what = "a phone that was too late hears the agent".to_owned();
            self.violate(Rule::ForkLetGo, number, what);
        }
        for delay in self.network.carry(at, from_switch) {
            let arrives = self.clock.now() + delay;
            self.clock.at(arrives, Moment::Arrive(datagram.clone()));
        }
    }

    /// Sees a SIP message that is sent.
    fn witness(&mut self, number: usize, bytes: &[u8], from_switch: bool) {
        let first = bytes.split(|byte| *byte == b'\r').next();
        let first = String::from_utf8_lossy(first.unwrap_or_default()).into_owned();
        let way = if from_switch { "->" } else { "<-" };
        self.note(number, || format!("{way} {first}"));
        let invite = String::from_utf8_lossy(bytes).contains(" INVITE\r\n");
        // Who is called answers; a later answer is one to another offer.
        let answers = from_switch != self.is_called(number);
        if answers
            && invite
            && first.starts_with("SIP/2.0 200")
            && let Some(answered) = self.answered.get_mut(number)
        {
            *answered = true;
        }
        if !from_switch {
            return;
        }
        if first.starts_with("BYE ") && self.plan.callers.get(number).is_some_and(|c| c.crosses_bye)
        {
            let now = self.clock.now();
            self.clock.at(now, Moment::Act(number, Action::HangUp));
        }
    }

    /// Whether the switch calls.
    pub(super) fn is_called(&self, number: usize) -> bool {
        let caller = self.plan.callers.get(number);
        caller.is_some_and(|caller| caller.called.is_some())
    }

    /// Whether somebody else sends packets to the call's media.
    pub(super) fn is_intruded_upon(&self, number: usize) -> bool {
        let caller = self.plan.callers.get(number);
        caller.is_some_and(|caller| !caller.intrusions.is_empty())
    }

    /// Whether the INVITE was answered with 200.
    pub(super) fn is_answered(&self, number: usize) -> bool {
        self.answered.get(number).copied().unwrap_or(false)
    }

    /// Whether nothing that is planned can keep either side from hearing the other.
    pub(super) fn is_faultless(&self, number: usize) -> bool {
        let fair = |caller: &CallerPlan| {
            let mute = caller.silent_holds && !caller.holds.is_empty();
            !mute && !caller.strays && !caller.loses_acks
        };
        self.plan.weather.is_calm()
            && self.plan.standstills.is_empty()
            && self.plan.callers.get(number).is_some_and(fair)
    }
}

fn phone_address(phone: usize) -> SocketAddr {
    let last = 10_u8.saturating_add(u8::try_from(phone).unwrap_or(0));
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 5060)
}

fn phone_of(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[3].saturating_sub(10)),
        IpAddr::V6(_) => 0,
    }
}

/// The number of the call that a phone's address is of.
pub(super) fn caller_of(address: SocketAddr) -> usize {
    phone_of(address) % SECOND
}

struct World {
    cx: Cx,
    switch: Switch,
    /// By what they are named.
    phones: BTreeMap<usize, Caller>,
}

/// Runs a plan to its end, or to the first rule that is broken.
#[must_use]
pub fn run(plan: Plan) -> Outcome {
    World::new(plan).run()
}

/// The rows that a CRM would be told of; its client is made once, and never used.
fn sinks() -> Sinks {
    static SINKS: OnceLock<Sinks> = OnceLock::new();
    let made = SINKS.get_or_init(|| {
        crate::tls::install();
        Sinks::new(Some(PloinkConfig::default())).unwrap_or_default()
    });
    made.clone()
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed ^ 0x776F_726C_6400);
        let mut cx = Cx::new(plan);
        let switch = Switch::new(rng.random(), SWITCH, Ledger::new(sinks()));
        let plans = cx.plan.callers.clone();
        let mut phones = BTreeMap::new();
        for (number, plan) in plans.into_iter().enumerate() {
            if let Some(at) = plan.api_hang_up_at_ms {
                let at = cx.clock.at_ms(plan.dial_at_ms + at);
                cx.clock.at(at, Moment::Task(number, Input::HangUpByApi));
            }
            switch::put_on_the_agenda(&mut cx, number, &plan);
            let second = fork::second(&plan).map(|plan| (number + SECOND, plan));
            for (phone, plan) in [Some((number, plan)), second].into_iter().flatten() {
                let addresses = (phone_address(phone), SWITCH);
                let caller = Caller::new(&mut cx, (number, phone), addresses, plan, rng.random());
                phones.insert(phone, caller);
            }
        }
        Self { cx, switch, phones }
    }

    fn run(mut self) -> Outcome {
        let mut steps = 0;
        while let Some(next) = self.next() {
            self.cx.clock.advance(next);
            steps += 1;
            if self.cx.clock.elapsed() > HORIZON || steps > STEPS {
                self.cx.violate(Rule::Standstill, 0, "it never ends".into());
            }
            self.step();
            self.switch.check(&mut self.cx);
            if self.cx.violation.is_some() {
                break;
            }
        }
        self.finish()
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let switch = self.switch_deadline();
        let phones = self.phones.values().filter_map(Caller::deadline);
        phones.chain(switch).chain(self.cx.clock.next()).min()
    }

    fn switch_deadline(&self) -> Option<Instant> {
        let due = self.switch.deadline()?.max(self.cx.clock.now());
        Some(self.cx.stands_until(due).unwrap_or(due))
    }

    fn step(&mut self) {
        if let Some(moment) = self.cx.clock.pop_due() {
            return self.happen(moment);
        }
        let now = self.cx.clock.now();
        let is_due = |phone: &Caller| phone.deadline().is_some_and(|at| at <= now);
        if let Some(phone) = self.phones.values_mut().find(|phone| is_due(phone)) {
            return phone.handle_timeout(&mut self.cx);
        }
        if self.switch_deadline().is_some_and(|at| at <= now) {
            self.switch.handle_timeout(&mut self.cx);
        }
    }

    fn happen(&mut self, moment: Moment) {
        let cx = &mut self.cx;
        let is_switch = |at: SocketAddr| at.ip() == SWITCH.ip();
        if let Some(end) = cx.stands_until(cx.clock.now())
            && moment.is_the_switchs(is_switch)
        {
            return cx.clock.at(end, moment);
        }
        match moment {
            Moment::Arrive(datagram) if is_switch(datagram.to) => {
                self.switch.receive(cx, &datagram);
            }
            Moment::Arrive(datagram) => self.ring(&datagram),
            Moment::Task(number, input) => self.switch.task(cx, number, input),
            Moment::Media(number, command) => self.switch.media(cx, number, command),
            Moment::Sip(number, command) => self.switch.sip(cx, number, command),
            Moment::Prepared(number) => self.switch.prepared(cx, number),
            Moment::Place(number) => self.switch.place(cx, number, phone_address(number)),
            Moment::Intrude(number, intrusion) => self.switch.intrude(cx, number, intrusion),
            Moment::Act(phone, action) => {
                if let Some(phone) = self.phones.get_mut(&phone) {
                    phone.act(cx, action);
                }
            }
            Moment::FromProxy(phone, bytes) => {
                let number = phone % SECOND;
                let said = cx.proxy_says(number, phone, &bytes);
                if let Some(phone) = self.phones.get_mut(&phone).filter(|_| said) {
                    phone.hear_sip(cx, &bytes);
                }
            }
        }
    }

    /// Hands a datagram to its phone, or to both that a proxy stands before.
    fn ring(&mut self, datagram: &Datagram) {
        let phone = phone_of(datagram.to);
        let sip = datagram.kind == Kind::Sip && phone < SECOND;
        let both = sip && self.cx.reaches_both(phone, &datagram.bytes);
        for phone in [Some(phone), both.then_some(phone + SECOND)]
            .into_iter()
            .flatten()
        {
            if let Some(phone) = self.phones.get_mut(&phone) {
                phone.receive(&mut self.cx, datagram);
            }
        }
    }

    /// Nothing is left to happen: nothing may be left.
    fn finish(mut self) -> Outcome {
        if self.cx.violation.is_none() {
            self.check_the_end();
        }
        let calls = self.switch.calls.len();
        let answered = self.switch.calls.values();
        let answered = answered.filter(|call| call.answered_at().is_some()).count();
        Outcome {
            hash: self.cx.trace.hash(),
            elapsed: self.cx.last_sent,
            datagrams: self.cx.datagrams,
            violation: self.cx.violation,
            trace: self.cx.trace.into_lines(),
            records: self.switch.ledger.into_records(),
            calls,
            answered,
        }
    }

    fn check_the_end(&mut self) {
        let Self { cx, switch, phones } = self;
        if !switch.ua.is_idle() {
            let what = format!("{} calls are left in SIP", switch.ua.call_count());
            cx.violate(Rule::DialogOutlivesCall, 0, what);
        }
        if let Some((phone, _)) = phones.iter().find(|(_, phone)| !phone.is_over()) {
            let what = format!("the dialog of phone {phone} is left");
            cx.violate(Rule::DialogOutlivesCall, phone % SECOND, what);
        }
        for (number, call) in &switch.calls {
            if !call.is_over() {
                cx.violate(Rule::RecordedOnce, *number, "never finished".into());
            }
            if call.answered_at().is_some() && !cx.is_answered(*number) {
                let what = "answered on paper, never on the wire".to_owned();
                cx.violate(Rule::AnsweredOnPaper, *number, what);
            }
            let broken = cx.watch.wire(*number).and_then(|wire| wire.check());
            if let Some((rule, what)) = broken {
                cx.violate(rule, *number, what);
            }
        }
        switch.ledger.check(cx);
    }
}
