//! `offhook bench sip`: what reading a message costs; how long a caller waits from its INVITE to the
//! 180 when the switch stands between two trunks, what a call costs there, and how many a second there
//! can be, beside Kamailio as a stateful relay, rustpbx, and nobody at all, with the same generator in
//! the same run.

mod calls;
mod figures;
mod generator;
mod messages;
mod parse;
mod search;
mod subjects;

pub(in crate::cli::bench) use parse::reader;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use self::calls::{Calls, Manner, Tally};
use self::figures::{Figures, Part};
use self::generator::{Plan, Sockets};
use self::messages::Addresses;
use self::search::Search;
use self::subjects::{Programs, Subject, Who};
use super::cpu::{SUBJECT_CORE, idle_seconds};
use super::figures::Ranks;
use super::progress::Progress;
use crate::clock;

/// From the first call to the first that counts, and what a subject is warmed up for.
const SETTLE: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_secs(1);
/// From a called side's 180 to its answer.
const RINGS: Duration = Duration::from_millis(20);
/// How long each rate of a search is measured.
const TRY: Duration = Duration::from_secs(2);
/// After a rate that did not hold: what is left over is to be gone.
const REST: Duration = Duration::from_secs(2);
/// The share of calls that may fail at a rate that holds.
const MAY_FAIL: f64 = 0.001;
/// From the last of the calls that are held to the look at memory, and what they last longer.
const HELD_FOR: Duration = Duration::from_millis(1_500);

/// Measures the signalling.
#[derive(Debug, Args)]
pub(in crate::cli) struct SipArgs {
    /// Calls a second at which latency and cost are measured
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How long each measurement at that rate lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How long a call lasts from its answer to the BYE, in ms
    #[arg(long, default_value_t = 100)]
    hold_ms: u64,
    /// Place calls at even distances rather than by chance (Poisson)
    #[arg(long)]
    even: bool,
    /// Calls at once for which memory is measured
    #[arg(long, default_value_t = 500)]
    held: u32,
    /// The highest rate that is tried; 0 looks for none
    #[arg(long, default_value_t = 8_000.0)]
    max_rate: f64,
    /// A rate holds while the 180 comes within so many ms in 99 of 100 calls
    #[arg(long, default_value_t = 20.0)]
    within_ms: f64,
    /// Measure what reading a message costs, and nothing else
    #[arg(long)]
    parse: bool,
    /// Kamailio, by name or path
    #[arg(long, value_name = "PROGRAM", default_value = "kamailio")]
    kamailio: PathBuf,
    /// rustpbx, by name or path
    #[arg(long, value_name = "PROGRAM", default_value = "rustpbx")]
    rustpbx: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What measures: the generator's sockets, and what it is told.
struct Bench<'a> {
    args: &'a SipArgs,
    programs: Programs,
    sockets: Arc<Sockets>,
    /// Tells measurements apart.
    run: u32,
    bar: ProgressBar,
}

/// One measurement: what came of the calls, and what the subject used meanwhile.
struct Taken {
    tally: Tally,
    cpu_seconds: f64,
    core_busy: f64,
    /// At the end, in KiB.
    memory_kib: u64,
}

pub(super) async fn run(args: &SipArgs) -> anyhow::Result<ExitCode> {
    let parsed = tokio::task::spawn_blocking(parse::measure).await?;
    let programs = Programs {
        kamailio: args.kamailio.clone(),
        rustpbx: args.rustpbx.clone(),
    };
    let peers = Who::PEERS.into_iter();
    let (there, absent): (Vec<Who>, Vec<Who>) = peers.partition(|who| programs.have(*who));
    let mut parts = Vec::new();
    if !args.parse {
        let mut order = vec![Who::Nobody, Who::Offhook];
        order.extend(there);
        order.extend(order.clone().into_iter().rev());
        let mut bench = Bench {
            args,
            programs,
            sockets: Arc::new(Sockets::open()?),
            run: 0,
            bar: Progress::bar(order.len() as u64, "measurements"),
        };
        for (at, who) in order.iter().enumerate() {
            // What is searched for is searched for once, the second time round.
            let searches = at >= order.len() / 2 && args.max_rate > 0.0;
            parts.push(bench.measure(*who, searches).await?);
            bench.bar.inc(1);
        }
        bench.bar.finish_and_clear();
    }
    let figures = Figures::of(&parts);
    if args.json {
        figures::say_json(args, &parsed, &figures, &absent);
    } else {
        figures::say(args, &parsed, &figures, &absent);
    }
    let ours = figures.iter().find(|figures| figures.who == Who::Offhook);
    let failed = ours.is_some_and(|ours| ours.failures > 0);
    Ok(if failed || !parsed.is_bounded() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Bench<'_> {
    async fn measure(&mut self, who: Who, searches: bool) -> anyhow::Result<Part> {
        let folder = tempfile::tempdir()?;
        let sides = self.sockets.addresses;
        let subject = Subject::start(who, &self.programs, folder.path(), sides).await?;
        let hold = Duration::from_millis(self.args.hold_ms);
        let time = Duration::from_secs(self.args.seconds.max(1));
        let rate = self.args.rate.max(1.0);
        self.take(&subject, rate, WARM_UP, hold).await?;
        let before_kib = subject.memory_kib();
        let placing = Duration::from_secs_f64(f64::from(self.args.held) / rate);
        let held = self
            .take(&subject, rate, placing, placing + HELD_FOR)
            .await?;
        let grown_kib = held.memory_kib.saturating_sub(before_kib);
        let kib_per_call = grown_kib as f64 / (held.tally.placed.max(1)) as f64;
        let taken = self.take(&subject, rate, time, hold).await?;
        let mut part = Part {
            who,
            taken,
            kib_per_call,
            search: None,
        };
        if searches {
            let mut search = Search::new(rate, self.args.max_rate);
            while let Some(rate) = search.next() {
                let taken = self.take(&subject, rate, TRY, hold).await?;
                let held = self.holds(&taken);
                search.tell(rate, held);
                if !held {
                    tokio::time::sleep(REST).await;
                }
            }
            part.search = Some(search);
        }
        // It waits for a process to end.
        tokio::task::block_in_place(|| drop(subject));
        Ok(part)
    }

    /// Whether hardly a call failed, and those that did not rang in time.
    fn holds(&self, taken: &Taken) -> bool {
        let Tally {
            placed,
            rings_after_ms,
            ..
        } = &taken.tally;
        let failed = taken.tally.failures() as f64;
        let few = *placed > 0 && failed < MAY_FAIL * *placed as f64;
        few && Ranks::of(rings_after_ms).p99 <= self.args.within_ms
    }

    /// Places calls for so long, once they have settled, and lets each last for `talks`.
    async fn take(
        &mut self,
        subject: &Subject,
        rate: f64,
        time: Duration,
        talks: Duration,
    ) -> anyhow::Result<Taken> {
        self.run += 1;
        let begin = clock::since_1970();
        let from = begin + SETTLE;
        let end = from + time;
        let [caller, called] = self.sockets.addresses;
        let addresses = Addresses {
            caller,
            called,
            subject: subject.address,
            run: self.run,
        };
        let manner = Manner {
            rings: RINGS,
            talks,
            from,
            until: end,
        };
        let plan = Plan {
            rate,
            even: self.args.even,
            seed: u64::from(self.run),
            begin,
            end,
        };
        let (sockets, to) = (Arc::clone(&self.sockets), subject.address);
        let generating = tokio::task::spawn_blocking(move || {
            let mut calls = Calls::new(addresses, manner);
            sockets.run(&mut calls, plan, to, talks)?;
            anyhow::Ok(calls.tally)
        });
        let used = |after: Duration| async move {
            tokio::time::sleep(after).await;
            Ok::<_, anyhow::Error>((
                clock::now(),
                subject.cpu_seconds()?,
                idle_seconds(SUBJECT_CORE)?,
            ))
        };
        let (since, cpu_since, idle_since) = used(SETTLE).await?;
        let (until, cpu_until, idle_until) = used(time).await?;
        // Calls that outlast the placing are all there a moment later.
        if talks > time {
            tokio::time::sleep(HELD_FOR / 2).await;
        }
        let memory_kib = subject.memory_kib();
        let seconds = until.duration_since(since).as_secs_f64();
        Ok(Taken {
            tally: generating.await??,
            cpu_seconds: cpu_until - cpu_since,
            core_busy: 1.0 - (idle_until - idle_since) / seconds,
            memory_kib,
        })
    }
}
