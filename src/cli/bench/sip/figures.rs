//! What the measurements came to, and how it is said.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::search::Search;
use super::subjects::Who;
use super::{SipArgs, Taken, parse};
use crate::cli::bench::figures::{Ranks, round};

/// One turn of one subject.
pub(super) struct Part {
    pub(super) who: Who,
    /// At the rate that was asked for.
    pub(super) taken: Taken,
    pub(super) kib_per_call: f64,
    /// What came of the search for its highest rate.
    pub(super) search: Option<Search>,
}

/// What all turns of one subject came to.
pub(super) struct Figures {
    pub(super) who: Who,
    placed: u64,
    pub(super) failures: u64,
    failed: BTreeMap<String, u64>,
    repeated: u64,
    heard_again: u64,
    rings_after_ms: Ranks,
    late_ms: Ranks,
    /// CPU time of a call, in µs, and how far the turns were apart, as a share of their mean.
    cpu_us: f64,
    spread: f64,
    core_busy: f64,
    kib_per_call: f64,
    /// The highest rate that held, and whether it was looked for, and held as far as was tried.
    highest: Option<f64>,
    searched: bool,
    open: bool,
}

impl Figures {
    /// Sums up the turns of each subject, in the order of their first ones.
    pub(super) fn of(parts: &[Part]) -> Vec<Self> {
        let mut order: Vec<Who> = Vec::new();
        for part in parts {
            if !order.contains(&part.who) {
                order.push(part.who);
            }
        }
        let figures = order.into_iter().map(|who| {
            let own: Vec<&Part> = parts.iter().filter(|part| part.who == who).collect();
            Self::of_one(who, &own)
        });
        figures.collect()
    }

    fn of_one(who: Who, parts: &[&Part]) -> Self {
        let count = parts.len().max(1) as f64;
        let mean =
            |of: &dyn Fn(&Part) -> f64| parts.iter().map(|part| of(part)).sum::<f64>() / count;
        let sum =
            |of: &dyn Fn(&Taken) -> u64| parts.iter().map(|part| of(&part.taken)).sum::<u64>();
        let ranks = |of: &dyn Fn(&Taken) -> &Vec<f64>| {
            let all = parts
                .iter()
                .flat_map(|part| of(&part.taken).iter().copied());
            Ranks::of(&all.collect::<Vec<f64>>())
        };
        let cost =
            |part: &Part| part.taken.cpu_seconds * 1e6 / part.taken.tally.placed.max(1) as f64;
        let costs: Vec<f64> = parts.iter().map(|part| cost(part)).collect();
        let least = costs.iter().copied().fold(f64::MAX, f64::min);
        let most = costs.iter().copied().fold(0.0, f64::max);
        let cpu_us = mean(&cost);
        let search = parts.iter().find_map(|part| part.search.as_ref());
        let mut failed = BTreeMap::new();
        for (why, count) in parts.iter().flat_map(|part| &part.taken.tally.failed) {
            *failed.entry(why.clone()).or_default() += count;
        }
        Self {
            who,
            placed: sum(&|taken| taken.tally.placed),
            failures: sum(&|taken| taken.tally.failures()),
            failed,
            repeated: sum(&|taken| taken.tally.repeated),
            heard_again: sum(&|taken| taken.tally.heard_again),
            rings_after_ms: ranks(&|taken| &taken.tally.rings_after_ms),
            late_ms: ranks(&|taken| &taken.tally.late_ms),
            cpu_us,
            spread: (most - least) / cpu_us.max(1e-9),
            core_busy: mean(&|part| part.taken.core_busy),
            kib_per_call: mean(&|part| part.kib_per_call),
            highest: search.and_then(Search::found),
            searched: search.is_some(),
            open: search.is_some_and(Search::is_open),
        }
    }

    /// What ours is to this one's: how many times as long, as dear, as large, as many.
    fn ratios(&self, ours: &Self) -> [(&'static str, Option<f64>); 5] {
        let ratio = |ours: f64, its: f64| (its > 0.0).then(|| ours / its);
        let (its, our) = (self.rings_after_ms, ours.rings_after_ms);
        let highest = ours.highest.zip(self.highest);
        [
            ("invite_to_180_p50", ratio(our.p50, its.p50)),
            ("invite_to_180_p99", ratio(our.p99, its.p99)),
            ("cpu_per_call", ratio(ours.cpu_us, self.cpu_us)),
            ("kib_per_call", ratio(ours.kib_per_call, self.kib_per_call)),
            (
                "calls_per_second",
                highest.and_then(|(ours, its)| ratio(ours, its)),
            ),
        ]
    }

    fn json(&self, ours: Option<&Self>) -> Value {
        let ratios = ours.map(|ours| {
            let ratios = self.ratios(ours).into_iter();
            let ratios = ratios.map(|(name, ratio)| (name.to_owned(), json!(ratio.map(round))));
            Value::Object(ratios.collect())
        });
        json!({
            "name": self.who.name(),
            "calls_placed": self.placed,
            "calls_failed": self.failures,
            "failed_with": self.failed,
            "retransmissions": { "by_the_generator": self.repeated, "by_it": self.heard_again },
            "invite_to_180_ms": self.rings_after_ms.json(),
            "cpu_us_per_call": round(self.cpu_us),
            "spread": round(self.spread),
            "core_busy": round(self.core_busy),
            "kib_per_call": round(self.kib_per_call),
            "calls_per_second": self.highest.map(round),
            "calls_per_second_is_as_far_as_was_tried": self.open,
            "placed_late_ms": self.late_ms.json(),
            "ours_to_it": ratios,
        })
    }

    fn say(&self, ours: Option<&Self>) {
        let Ranks { p50, p99, p999, .. } = self.rings_after_ms;
        let cost = match self.who {
            Who::Nobody => String::new(),
            _ => format!(
                "{:.0} µs of processor a call (±{:.0} %), {:.1} KiB a call, ",
                self.cpu_us,
                self.spread * 50.0,
                self.kib_per_call
            ),
        };
        crate::cli::say(format_args!(
            "{:15} 180 after p50 {p50:.3} ms   p99 {p99:.3} ms   p99.9 {p999:.3} ms; {cost}{}; {} of \
             {} failed, {} and {} retransmissions",
            self.who.name(),
            self.highest_in_words(),
            self.failures,
            self.placed,
            self.repeated,
            self.heard_again,
        ));
        for (why, count) in &self.failed {
            crate::cli::say(format_args!("{:15} {count} failed with {why}", ""));
        }
        let Some(ours) = ours.filter(|ours| ours.who != self.who && self.who != Who::Nobody) else {
            return;
        };
        let named = self.ratios(ours).into_iter();
        let named = named.filter_map(|(name, ratio)| Some(format!("{name} {:.2}", ratio?)));
        let named = named.collect::<Vec<String>>().join(", ");
        crate::cli::say(format_args!("{:15} ours is {named} times that", ""));
    }

    fn highest_in_words(&self) -> String {
        match self.highest {
            Some(rate) if self.open => format!("at least {rate:.0} calls a second"),
            Some(rate) => format!("{rate:.0} calls a second"),
            None if self.searched => "no rate held".to_owned(),
            None => "its highest rate was not looked for".to_owned(),
        }
    }
}

pub(super) fn say_json(
    args: &SipArgs,
    parsed: &parse::Figures,
    figures: &[Figures],
    absent: &[Who],
) {
    let ours = figures.iter().find(|of| of.who == Who::Offhook);
    let subjects = figures.iter().map(|of| of.json(ours));
    let absent = absent.iter().map(|who| who.name());
    crate::cli::say(json!({
        "bench": "sip",
        "parse": parsed.json(),
        "rate": args.rate, "seconds": args.seconds, "hold_ms": args.hold_ms, "even": args.even,
        "held": args.held, "within_ms": args.within_ms,
        "subjects": subjects.collect::<Vec<Value>>(),
        "not_found": absent.collect::<Vec<&str>>(),
    }));
}

pub(super) fn say(args: &SipArgs, parsed: &parse::Figures, figures: &[Figures], absent: &[Who]) {
    parsed.say();
    if figures.is_empty() {
        return;
    }
    crate::cli::say(format_args!(
        "{} calls a second for {} s, two turns each, {}; INVITE, 180, 200 after 20 ms, ACK, BYE {} ms \
         later; most a second with the 180 within {} ms in 99 of 100",
        args.rate,
        args.seconds,
        if args.even { "evenly" } else { "by chance" },
        args.hold_ms,
        args.within_ms,
    ));
    let ours = figures.iter().find(|of| of.who == Who::Offhook);
    figures.iter().for_each(|of| of.say(ours));
    for who in absent {
        let name = who.name();
        crate::cli::say(format_args!(
            "{name:15} not measured: no such program on the PATH; --{name} names one"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::Tally;
    use super::*;

    fn part(who: Who, cpu_seconds: f64, rings_after_ms: Vec<f64>, highest: Option<f64>) -> Part {
        Part {
            who,
            taken: Taken {
                tally: Tally {
                    placed: 100,
                    rings_after_ms,
                    ..Tally::default()
                },
                cpu_seconds,
                core_busy: 0.1,
                memory_kib: 1_000,
            },
            kib_per_call: 8.0,
            search: highest.map(|rate| {
                let mut search = Search::new(rate, rate);
                search.tell(rate, true);
                search
            }),
        }
    }

    #[test]
    fn both_turns_of_a_subject_are_one_figure_beside_which_ours_is_a_ratio() {
        let parts = [
            part(Who::Offhook, 0.02, vec![1.0; 50], None),
            part(Who::Kamailio, 0.01, vec![0.5; 50], None),
            part(Who::Kamailio, 0.03, vec![0.5; 50], Some(1_000.0)),
            part(Who::Offhook, 0.02, vec![1.0; 50], Some(500.0)),
        ];
        let figures = Figures::of(&parts);
        let names: Vec<Who> = figures.iter().map(|of| of.who).collect();
        assert_eq!(names, [Who::Offhook, Who::Kamailio]);
        let kamailio = &figures[1];
        assert_eq!((kamailio.placed, kamailio.rings_after_ms.count), (200, 100));
        assert!((kamailio.cpu_us - 200.0).abs() < 1e-6);
        assert!((kamailio.spread - 1.0).abs() < 1e-6);
        let ratios: Vec<f64> = kamailio
            .ratios(&figures[0])
            .into_iter()
            .filter_map(|(_, ratio)| ratio)
            .collect();
        for (ratio, expected) in ratios.iter().zip([2.0, 2.0, 1.0, 1.0, 0.5]) {
            assert!((ratio - expected).abs() < 1e-6, "{ratios:?}");
        }
    }

    #[test]
    fn where_nothing_was_measured_there_is_no_ratio() {
        let parts = [
            part(Who::Offhook, 0.02, vec![1.0], Some(500.0)),
            part(Who::Kamailio, 0.0, Vec::new(), None),
        ];
        let figures = Figures::of(&parts);
        let json = figures[1].json(Some(&figures[0]));
        assert_eq!(json["ours_to_it"]["cpu_per_call"], Value::Null);
        assert_eq!(json["ours_to_it"]["calls_per_second"], Value::Null);
        assert_eq!(json["ours_to_it"]["kib_per_call"], 1.0);
    }
}
