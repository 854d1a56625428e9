//! What reading a message costs: a carrier's INVITE, parsed, typed and validated, with its
//! allocations counted; and the largest and worst messages that fit into a datagram.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use offhook_sip::message::{HeaderName, MAX_MESSAGE_BYTES, Message};
use serde_json::{Value, json};

use crate::cli::bench::figures::{rank, round, sorted};
use crate::clock;

/// An INVITE of Twilio's, 1,048 bytes.
static INVITE: &[u8] =
    include_bytes!("../../../../tests/corpora/carriers/03_twilio_termination_invite_noauth.sip");
/// Counts allocations, loaded before the C library.
const COUNTER: &str = include_str!("../../../../benches/sip/allocations.c");
/// Messages between two looks at the clock, and looks.
const BATCH: u32 = 2_000;
const BATCHES: usize = 100;
/// Messages whose allocations are counted.
const COUNTED: u32 = 10_000;
/// How often each of the worst is read.
const WORST_READ: usize = 50;
/// What a large message may take, in ms, and a carrier's INVITE, in µs.
pub(super) const LARGE_MS: f64 = 1.0;
pub(super) const INVITE_US: f64 = 0.6;

/// What reading costs.
pub(super) struct Figures {
    /// A carrier's INVITE, in µs: the best batch, the middle one, and 99 of 100.
    best_us: f64,
    p50_us: f64,
    p99_us: f64,
    /// Allocations for each; none where they cannot be counted, and why.
    allocations: Result<f64, String>,
    /// The worst messages: each one's name, the middle and the longest time, in ms.
    worst: Vec<(&'static str, f64, f64)>,
}

pub(super) fn measure() -> Figures {
    let mut batches: Vec<f64> = Vec::new();
    for _ in 0..BATCHES {
        batches.push(timed(|| (0..BATCH).for_each(|_| read_invite())) * 1e6 / f64::from(BATCH));
    }
    let batches = sorted(&batches);
    let at = |share| rank(&batches, share).unwrap_or(0.0);
    let worst = worst().into_iter().map(|(name, text)| {
        let times: Vec<f64> = (0..WORST_READ)
            .map(|_| timed(|| read_all(text.as_bytes())) * 1e3)
            .collect();
        let times = sorted(&times);
        let middle = rank(&times, 0.5).unwrap_or(0.0);
        (name, middle, times.last().copied().unwrap_or(0.0))
    });
    Figures {
        best_us: at(0.0),
        p50_us: at(0.5),
        p99_us: at(0.99),
        allocations: allocations().map_err(|error| format!("{error:#}")),
        worst: worst.collect(),
    }
}

/// How long something takes, in seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let begun = clock::now();
    work();
    clock::now().duration_since(begun).as_secs_f64()
}

fn read_invite() {
    if let Ok(message) = Message::parse(black_box(INVITE)) {
        let _ = black_box(message.essentials().map(|request| request.cseq.number));
    }
}

/// Reads everything that a user agent may ask of a message, each list to its end.
fn read_all(bytes: &[u8]) {
    let Ok(message) = Message::parse(black_box(bytes)) else {
        return;
    };
    let _ = black_box(message.essentials().is_ok());
    black_box(message.validate().is_ok());
    black_box(message.vias().count());
    black_box(message.contacts().count());
    black_box(message.routes().count());
    black_box(message.record_routes().count());
    for name in [
        HeaderName::Allow,
        HeaderName::Supported,
        HeaderName::Subject,
    ] {
        black_box(message.values(name).count());
    }
    black_box(message.all_headers().count());
}

/// The worst messages: as large as a datagram can be, each of one thing.
fn worst() -> Vec<(&'static str, String)> {
    let filled = |name, begin: &str, unit: &str, end: &str| {
        let head = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n\
            From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
            Max-Forwards: 70\r\n";
        let tail = "\r\nContent-Length: 0\r\n\r\n";
        let room = MAX_MESSAGE_BYTES - head.len() - begin.len() - end.len() - tail.len();
        let body = unit.repeat(room / unit.len().max(1));
        (name, format!("{head}{begin}{body}{end}{tail}"))
    };
    vec![
        filled("many headers", "X: 1", "\r\nX: 1", ""),
        filled("one long header", "Subject: ", "a", ""),
        filled("folded lines", "Subject: a", "\r\n a", ""),
        filled("many Vias", "Via: SIP/2.0/UDP d", ",SIP/2.0/UDP d", ""),
        filled("many Routes", "Route: <sip:d;lr>", ",<sip:d;lr>", ""),
        filled("many Contacts", "Contact: <sip:d>", ",<sip:d>", ""),
        filled("parameters", "Contact: <sip:d>", ";a=b", ""),
        filled("quoted pairs", "Contact: \"", "\\\"", "\" <sip:d>"),
        filled("commas", "Allow: a", ",", ""),
        filled("open brackets", "Contact: ", "<", ""),
        filled("open quotes", "Supported: ", "\"a,", ""),
        filled("colons", "Subject: ", ":", ""),
        filled("line ends", "Subject: a", "\r\n", ""),
    ]
}

/// `offhook bench sip-reader`: reads the INVITE so often and nothing else, a process whose
/// allocations are counted.
pub(in crate::cli::bench) fn reader(count: u32) -> ExitCode {
    (0..count).for_each(|_| read_invite());
    ExitCode::SUCCESS
}

/// Allocations that reading the INVITE takes: what this program allocates when it reads it
/// many times more often.
fn allocations() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (source, library) = (
        folder.path().join("counter.c"),
        folder.path().join("counter.so"),
    );
    std::fs::write(&source, COUNTER)?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    let compiled = compiler.status().context("cannot run cc")?;
    anyhow::ensure!(compiled.success(), "cc does not compile the counter");
    let count = |messages| count(folder.path(), &library, messages);
    let [none, many] = [count(0)?, count(COUNTED)?];
    Ok(many.saturating_sub(none) as f64 / f64::from(COUNTED))
}

fn count(folder: &Path, library: &Path, messages: u32) -> anyhow::Result<u64> {
    let written = folder.join("allocations");
    let status = Command::new(std::env::current_exe()?)
        .args(["bench", "sip-reader", &messages.to_string()])
        .env("LD_PRELOAD", library)
        .env("ALLOCATIONS", &written)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "the reader ended with {status}");
    let text = std::fs::read_to_string(&written).context("the counter wrote nothing")?;
    Ok(text.trim().parse()?)
}

impl Figures {
    /// Whether each large message was read in the time that it may take.
    pub(super) fn is_bounded(&self) -> bool {
        self.worst.iter().all(|(_, middle, _)| *middle <= LARGE_MS)
    }

    pub(super) fn json(&self) -> Value {
        let worst = self.worst.iter().map(|(name, middle, longest)| {
            json!({ "what": name, "p50": round(*middle), "longest": round(*longest) })
        });
        json!({
            "invite_bytes": INVITE.len(),
            "invite_us": {
                "best": round(self.best_us), "p50": round(self.p50_us), "p99": round(self.p99_us),
                "goal": INVITE_US,
            },
            "allocations": self.allocations.as_ref().ok().map(|count| round(*count)),
            "large_bytes": MAX_MESSAGE_BYTES,
            "large_ms": worst.collect::<Vec<Value>>(),
            "large_goal_ms": LARGE_MS,
        })
    }

    pub(super) fn say(&self) {
        let Self {
            best_us,
            p50_us,
            p99_us,
            ..
        } = self;
        let allocations = match &self.allocations {
            Ok(count) => format!("{count:.0} allocations"),
            Err(error) => format!("allocations not counted ({error})"),
        };
        crate::cli::say(format_args!(
            "an INVITE of {} bytes, parsed, typed and validated: {p50_us:.3} µs (best {best_us:.3}, \
             p99 {p99_us:.3}), {allocations}",
            INVITE.len(),
        ));
        for (name, middle, longest) in &self.worst {
            crate::cli::say(format_args!(
                "{MAX_MESSAGE_BYTES} bytes, {name:16} {middle:.3} ms (longest {longest:.3})"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_messages_fill_a_datagram_and_the_carriers_invite_is_read() {
        for (name, text) in worst() {
            let length = text.len();
            assert!(length <= MAX_MESSAGE_BYTES, "{name}: {length}");
            assert!(length > MAX_MESSAGE_BYTES - 32, "{name}: {length}");
        }
        let invite = Message::parse(INVITE).unwrap();
        assert_eq!(invite.essentials().unwrap().cseq.number, 30_121);
        assert_eq!(INVITE.len(), 1_048);
    }

    #[test]
    fn many_of_the_worst_are_read_to_their_end_and_not_refused_at_once() {
        let read = |name| {
            let worst = worst();
            let (_, text) = worst.iter().find(|(worst, _)| *worst == name).unwrap();
            let text = text.clone();
            Message::parse(text.as_bytes())
                .map(|message| message.vias().count())
                .ok()
        };
        assert_eq!(read("one long header"), Some(1));
        assert!(read("many Vias").is_some_and(|count| count > 4_000));
    }
}
