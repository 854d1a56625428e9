//! The guard at work: buckets, bans, and who has proven what.

use std::time::{Duration, Instant};

use super::expiring::Expiring;
use super::watch::{Loans, Watch};
use super::{Ban, BanReason, Guard, Standing};
use crate::flow::Flow;
use crate::network::Network;

/// How long an ended ban is remembered, so that the next one is longer.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// How many flows may be trusted at a time for each source that may be watched: an office has many
/// phones behind one address. Only a right password takes one of these places.
const TRUSTED_EACH: usize = 16;

/// What becomes of a message that belongs to nothing.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Charge {
    /// It is handled.
    Paid,
    /// It is dropped: its source sends too much.
    Over,
    /// It is dropped, and so is all that follows.
    Banned(Ban),
}

/// Watches sources by a [`Guard`].
#[derive(Clone, Debug)]
pub(crate) struct Sentry {
    guard: Guard,
    watch: Watch,
    loans: Loans,
    /// By source: how often it was banned, and why last. An entry outlives its ban.
    bans: Expiring<Network, (u32, BanReason)>,
    /// The flows whose users have authenticated, or that carry a call.
    trusted: Expiring<Flow, ()>,
    /// The flows on which an answer came back to us. They are kept apart, so that a stranger with
    /// many ports cannot push a phone out.
    proven: Expiring<Flow, ()>,
}

impl Sentry {
    pub(crate) fn new(guard: &Guard) -> Self {
        let limit = guard.max_sources;
        Self {
            guard: guard.clone(),
            watch: Watch::new(limit),
            loans: Loans::new(),
            bans: Expiring::new(limit),
            trusted: Expiring::new(limit.saturating_mul(TRUSTED_EACH)),
            proven: Expiring::new(limit),
        }
    }

    /// Whether a stranger gets no more than it brought.
    pub(crate) fn counts_bytes(&self) -> bool {
        self.guard.no_amplification
    }

    /// Returns what is known of a flow by what came on it.
    pub(crate) fn standing(&self, now: Instant, flow: Flow) -> Standing {
        let lasts = |entry: Option<(Instant, ())>| entry.is_some_and(|(until, ())| until > now);
        if self.guard.is_off() || lasts(self.trusted.get(&flow)) || self.is_told(flow) {
            Standing::Trusted
        } else if flow.transport.is_reliable() || lasts(self.proven.get(&flow)) {
            Standing::Proven
        } else {
            Standing::Stranger
        }
    }

    /// Whether the settings say to trust it.
    fn is_told(&self, flow: Flow) -> bool {
        let remote = flow.remote.ip();
        self.guard.trusted.iter().any(|n| n.contains(remote))
    }

    /// Forgets what a connection has shown: the next one between the same ports is another's.
    pub(crate) fn closed(&mut self, flow: Flow) {
        self.trusted.remove(&flow);
    }

    /// Learns what a flow has shown. What it has shown before is only renewed when half of its
    /// time has passed, since every answer of a peer shows it anew.
    pub(crate) fn vouch(&mut self, now: Instant, flow: Flow, standing: Standing) {
        let lifetime = Duration::from_secs(self.guard.trust_s.into());
        let table = match standing {
            Standing::Trusted => &mut self.trusted,
            Standing::Proven => &mut self.proven,
            Standing::Stranger => return,
        };
        let half = now + lifetime / 2;
        if !self.guard.is_off() && table.get(&flow).is_none_or(|(until, ())| until < half) {
            table.set(flow, now + lifetime, ());
        }
    }

    /// Returns whether nothing that a flow sends is listened to, unless it is trusted.
    pub(crate) fn is_banned(&self, now: Instant, flow: Flow) -> bool {
        let source = Network::of_sender(flow.remote.ip());
        self.bans.get(&source).is_some_and(|(until, _)| until > now)
    }

    /// Counts a message of so many bytes that belongs to nothing. A stranger that floods is only
    /// slowed down: it may have forged where it comes from, and whoever is there would be banned.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        flow: Flow,
        bytes: usize,
        standing: Standing,
    ) -> Charge {
        self.loans.refill(now);
        let source = Network::of_sender(flow.remote.ip());
        let Some(watched) = self.watch.of(now, source) else {
            return Charge::Paid;
        };
        if watched.take(now, &self.guard) {
            watched.bring(bytes);
            return Charge::Paid;
        }
        let goes_on = watched.excess >= self.guard.burst.max(self.guard.messages_per_s);
        if standing == Standing::Stranger || !goes_on {
            return Charge::Over;
        }
        watched.forgive();
        Charge::Banned(self.ban(now, source, BanReason::Flood))
    }

    /// Returns whether a `User-Agent` is a scanner's.
    pub(crate) fn is_scanner(&self, user_agent: &str) -> bool {
        self.guard.is_scanner(user_agent)
    }

    /// Bans a source that calls itself a scanner.
    pub(crate) fn unmask(&mut self, now: Instant, flow: Flow) -> Ban {
        let source = Network::of_sender(flow.remote.ip());
        self.ban(now, source, BanReason::Scanner)
    }

    /// Counts wrong credentials; too many ban the source, and the flow is trusted no longer: who
    /// has one password shall not try those of others.
    pub(crate) fn failed(&mut self, now: Instant, flow: Flow) -> Option<Ban> {
        if self.guard.failures == 0 || self.is_told(flow) {
            return None;
        }
        let source = Network::of_sender(flow.remote.ip());
        let within = Duration::from_secs(self.guard.failures_within_s.into());
        let watched = self.watch.of(now, source)?;
        let count = watched.fail(now, within);
        if count < self.guard.failures {
            return None;
        }
        watched.forgive();
        self.trusted.remove(&flow);
        Some(self.ban(now, source, BanReason::WrongCredentials(count)))
    }

    /// Pays for an answer of so many bytes to a stranger; false where it would get more than it
    /// has brought.
    pub(crate) fn affords(&mut self, flow: Flow, bytes: usize) -> bool {
        let source = Network::of_sender(flow.remote.ip());
        let watched = self.watch.find(source);
        watched.is_some_and(|watched| watched.spend(bytes, &mut self.loans))
    }

    /// Returns the bans that last, the last to end first.
    pub(crate) fn bans(&self, now: Instant) -> impl Iterator<Item = Ban> + '_ {
        let lasting = self.bans.lasting(now);
        lasting.map(move |(source, until, (_, reason))| Ban {
            source,
            reason,
            for_s: seconds(until - now),
        })
    }

    fn ban(&mut self, now: Instant, source: Network, reason: BanReason) -> Ban {
        let before = self.bans.get(&source);
        let times = before
            .filter(|(until, _)| now.saturating_duration_since(*until) < REMEMBERED)
            .map_or(0, |(_, (times, _))| times);
        let doubled = u64::from(self.guard.ban_s) << times.min(31);
        let most = u64::from(self.guard.ban_max_s.max(self.guard.ban_s));
        let lasts = Duration::from_secs(doubled.min(most));
        self.bans
            .set(source, now + lasts, (times.saturating_add(1), reason));
        Ban {
            source,
            reason,
            for_s: seconds(lasts),
        }
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    fn flow(remote: &str) -> Flow {
        Flow {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[allow(clippy::disallowed_methods)] // an arbitrary origin: only differences matter
    fn origin() -> Instant {
        Instant::now()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_source_has_a_burst_and_a_rate_and_is_banned_for_going_on() {
        let (mut sentry, now) = (Sentry::new(&Guard::default()), origin());
        let peer = flow("203.0.113.9:5060");
        let paid =
            (0..1_500).filter(|_| sentry.charge(now, peer, 400, Standing::Proven) == Charge::Paid);
        assert_eq!(paid.count(), 1_001);
        let later = now + s(1);
        let paid =
            (0..200).filter(|_| sentry.charge(later, peer, 400, Standing::Proven) == Charge::Paid);
        assert_eq!(paid.count(), 100, "the rate");
        assert!(!sentry.is_banned(later, peer));
        let ban =
            (0..1_000).find_map(
                |_| match sentry.charge(later, peer, 400, Standing::Proven) {
                    Charge::Banned(ban) => Some(ban),
                    _ => None,
                },
            );
        assert_eq!(ban.unwrap().reason, BanReason::Flood);
        let mut flooding = 0..10_000;
        let other = flow("203.0.113.11:5060");
        assert!(
            flooding.all(|_| !matches!(
                sentry.charge(later, other, 400, Standing::Stranger),
                Charge::Banned(_)
            )),
            "it may be forged"
        );
        let neighbour = flow("203.0.113.9:9999");
        assert!(sentry.is_banned(later, neighbour), "every port of it");
        assert!(!sentry.is_banned(later, flow("203.0.113.10:5060")));
        assert!(!sentry.is_banned(later + s(60), peer));
    }

    #[test]
    fn bans_double_to_a_bound_and_a_quiet_day_is_a_new_beginning() {
        let (mut sentry, mut now) = (Sentry::new(&Guard::default()), origin());
        let peer = flow("203.0.113.9:5060");
        let mut lasted = Vec::new();
        for _ in 0..8 {
            let ban = sentry.unmask(now, peer);
            lasted.push(ban.for_s);
            now += s(ban.for_s.into());
        }
        assert_eq!(lasted, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        now += REMEMBERED;
        assert_eq!(sentry.unmask(now, peer).for_s, 60);
    }

    #[test]
    fn wrong_passwords_are_counted_within_their_time_and_end_trust() {
        let (mut sentry, now) = (Sentry::new(&Guard::default()), origin());
        let peer = flow("203.0.113.9:5060");
        sentry.vouch(now, peer, Standing::Trusted);
        for minute in 0..10 {
            let at = now + s(minute * 61);
            assert!((0..19).all(|_| sentry.failed(at, peer).is_none()));
            assert_eq!(sentry.standing(at, peer), Standing::Trusted);
        }
        let at = now + s(700);
        let ban = (0..20).find_map(|_| sentry.failed(at, peer)).unwrap();
        assert_eq!(ban.reason.to_string(), "20 wrong passwords");
        assert_eq!(sentry.standing(at, peer), Standing::Stranger);
    }

    #[test]
    fn an_ipv6_source_is_its_64_and_a_mapped_address_is_ipv4() {
        let (mut sentry, now) = (Sentry::new(&Guard::default()), origin());
        let ban = sentry.unmask(now, flow("[2001:db8:1:2:3::9]:5060"));
        assert_eq!(ban.source.to_string(), "2001:db8:1:2::/64");
        assert!(sentry.is_banned(now, flow("[2001:db8:1:2:ffff::1]:7")));
        assert!(!sentry.is_banned(now, flow("[2001:db8:1:3::1]:7")));
        sentry.unmask(now, flow("[::ffff:203.0.113.9]:5060"));
        assert!(sentry.is_banned(now, flow("203.0.113.9:5060")));
    }

    #[test]
    fn tables_are_bounded_and_a_suspect_outlives_a_crowd() {
        let guard = Guard {
            max_sources: 64,
            ..Guard::default()
        };
        let (mut sentry, now) = (Sentry::new(&guard), origin());
        let (banned, suspect) = (flow("203.0.113.9:1"), flow("203.0.113.10:1"));
        sentry.unmask(now, banned);
        assert!((0..19).all(|_| sentry.failed(now, suspect).is_none()));
        for n in 0..10_000u32 {
            let at = now + Duration::from_micros(n.into());
            let remote = format!("10.{}.{}.{}:5060", n >> 16, (n >> 8) & 255, n & 255);
            sentry.charge(at, flow(&remote), 400, Standing::Proven);
            sentry.vouch(at, flow(&remote), Standing::Proven);
        }
        assert_eq!((sentry.watch.len(), sentry.proven.len()), (64, 64));
        assert!(
            sentry.is_banned(now + s(1), banned),
            "no ban gives way to a bucket"
        );
        assert!(sentry.failed(now + s(1), suspect).is_some(), "19 were kept");
        for n in 0..1_000u32 {
            let remote = format!("10.0.{}.{}:5060", n >> 8, n & 255);
            sentry.unmask(now + s(2), flow(&remote));
        }
        assert_eq!(sentry.bans(now + s(2)).count(), 64);
    }

    #[test]
    fn a_stranger_gets_one_longer_answer_and_then_no_more_than_it_brought() {
        let (mut sentry, now) = (Sentry::new(&Guard::default()), origin());
        let peer = flow("203.0.113.9:5060");
        let (mut brought, mut got) = (0, 0);
        for n in 0..100 {
            assert_eq!(
                sentry.charge(now, peer, 350, Standing::Proven),
                Charge::Paid
            );
            brought += 350;
            if sentry.affords(peer, 400) {
                got += 400;
            }
            assert!(got <= brought || n == 0, "{got} for {brought}");
        }
        assert!(got > 34_000, "nearly all of it: {got}");
    }

    #[test]
    fn more_sources_than_are_watched_get_no_more_than_they_bring_but_for_a_bounded_loan() {
        let guard = Guard {
            max_sources: 64,
            ..Guard::default()
        };
        let (mut sentry, now) = (Sentry::new(&guard), origin());
        let (mut brought, mut got) = (0, 0);
        // Over and over again, within ten seconds.
        for n in 0..20_000u32 {
            let at = now + Duration::from_micros(500 * u64::from(n));
            let peer = flow(&format!("10.0.{}.{}:5060", (n / 250) % 8, n % 250));
            sentry.charge(at, peer, 100, Standing::Stranger);
            brought += 100;
            if sentry.affords(peer, 400) {
                got += 400;
            }
        }
        assert!(got < brought / 10, "{got} for {brought}");
        // Whoever asks again has brought enough by then.
        let (at, peer) = (now + Duration::from_secs(10), flow("203.0.113.9:5060"));
        sentry.charge(at, peer, 350, Standing::Stranger);
        let first = sentry.affords(peer, 400);
        sentry.charge(at, peer, 350, Standing::Stranger);
        assert!(first || sentry.affords(peer, 400));
    }
}
