//! `offhook call`: a user agent for the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use offhook_media::dtmf::{InvalidDigit, check_keys};
use offhook_media::srtp::Suite;
use offhook_media::{SrtpPolicy, UtteranceId};
use offhook_sip::Credentials;
use offhook_sip::EndCause;
use serde_json::json;

use super::wav;
use crate::call::codecs::{Codecs, media_codec};
use crate::call::dial::{Answered, DialFailure, Dialling, dial};
use crate::call::line::{Attached, next_leg};
use crate::clock;
use crate::config;
use crate::net::media::{Command, LegEvent};
use crate::net::sip::Signal;
use crate::phone::{Destination, Phone};

/// How long a leg may take to close and tell its figures.
const CLOSING: Duration = Duration::from_secs(2);

/// Places one call. The exit code is 0 only when it was answered and ended cleanly.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  offhook call sip:lead-qualification@127.0.0.1 --play hello.wav \
    --record heard.wav\n  offhook call sip:100@192.0.2.7 --user alice --password s3cret \
    --dtmf 42# --seconds 20 --json\n  offhook call sip:100@192.0.2.7 --codec opus,g722 --record wideband.wav"
)]
pub(super) struct CallArgs {
    /// Whom to call, such as sip:name@host:5060
    uri: String,
    /// A WAV file to play once the call is answered
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// Where to write what is heard, as a WAV file
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// Digits to send after the answer: 0-9, *, #, A-D, and a comma for half a second's pause
    #[arg(long, value_name = "DIGITS", value_parser = keys)]
    dtmf: Option<String>,
    /// Hang up this many seconds after the answer; without it the other side does, or Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Codecs to offer, best first: PCMU, PCMA, G722, opus, L16; without it PCMU and PCMA
    #[arg(long, value_name = "CODEC[,CODEC…]", value_delimiter = ',')]
    codec: Vec<config::Codec>,
    /// Encrypt the media: `off`, `optional` (where the other side can), or `required`, which is
    /// what `--srtp` alone means
    #[arg(long, value_name = "POLICY", require_equals = true, num_args = 0..=1,
          default_value_t = SrtpPolicy::Optional, default_missing_value = "required")]
    srtp: SrtpPolicy,
    /// The digest user that answers a challenge
    #[arg(long)]
    user: Option<String>,
    /// Its password; better given as OFFHOOK_PASSWORD, which `ps` does not show
    #[arg(long, env = "OFFHOOK_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The authority (PEM) whose certificate the called side must show, with `;transport=tls`; else
    /// one of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Give up when nobody answers within this many seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    ring: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn keys(text: &str) -> Result<String, InvalidDigit> {
    check_keys(text).map(|()| text.to_owned())
}

pub(super) fn run(args: &CallArgs) -> anyhow::Result<ExitCode> {
    let sound = args.play.as_deref().map(wav::read).transpose()?;
    let codecs = codecs(&args.codec);
    super::runtime()?.block_on(place(args, sound, codecs))
}

/// The codecs that were named, best first.
fn codecs(named: &[config::Codec]) -> Codecs {
    match named {
        [] => Codecs::default(),
        named => Codecs::in_order(named.iter().copied().map(media_codec)),
    }
}

async fn place(
    args: &CallArgs,
    sound: Option<wav::Sound>,
    codecs: Codecs,
) -> anyhow::Result<ExitCode> {
    let destination = Destination::resolve(&args.uri).await?;
    let phone = Phone::start(destination.local_address(), None).await?;
    let (sink, recording) = match &args.record {
        Some(path) => {
            let (sink, recording) = wav::record(path)?;
            (Some(sink), Some(recording))
        }
        None => (None, None),
    };
    let user = args.user.as_deref().unwrap_or("offhook");
    let dialling = Dialling {
        whom: destination.whom(args.ca.as_deref()),
        credentials: args.user.as_deref().map(|user| {
            let password = args.password.clone().unwrap_or_default();
            Credentials {
                username: user.to_owned(),
                password,
            }
        }),
        codecs,
        srtp: args.srtp,
        ring_timeout: Duration::from_secs(args.ring),
        ..destination.dialling(format!("sip:{user}@{}", host_of(&destination)))
    };
    let attached = Attached {
        sink,
        ..Attached::default()
    };
    let (interrupt, mut interrupted) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && interrupt.send(()).await.is_ok() {}
    });
    let leg = next_leg();
    let quiet = args.json;
    let progress = |status| {
        if !quiet {
            super::say(format_args!("{status} ringing"));
        }
    };
    let answered = dial(
        &phone.line,
        leg,
        &dialling,
        attached,
        progress,
        &mut interrupted,
    )
    .await;
    let answered = match answered {
        Ok(answered) => answered,
        Err(failure) => return Ok(report_failure(args, &failure)),
    };
    if !args.json {
        super::say(format_args!(
            "answered by {}, {}, {}",
            answered.remote,
            answered.leg.codec.name(),
            answered.leg.srtp().map_or("not encrypted", Suite::name)
        ));
    }
    let ended = talk(args, &phone, answered, sound, &mut interrupted).await;
    if let Some(recording) = recording {
        recording.finish()?;
    }
    Ok(report_end(args, &ended))
}

fn host_of(destination: &Destination) -> String {
    match destination.local_address() {
        std::net::IpAddr::V6(address) => format!("[{address}]"),
        std::net::IpAddr::V4(address) => address.to_string(),
    }
}

struct Ended {
    cause: &'static str,
    clean: bool,
    seconds: f64,
    digits: String,
    codec: &'static str,
    srtp: Option<Suite>,
    stats: Option<Box<offhook_media::Stats>>,
}

async fn talk(
    args: &CallArgs,
    phone: &Phone,
    mut answered: Answered,
    sound: Option<wav::Sound>,
    interrupted: &mut tokio::sync::mpsc::Receiver<()>,
) -> Ended {
    let begun = clock::now();
    let leg = answered.leg.id;
    let media = answered.leg.media.clone();
    if let Some(sound) = sound {
        let utterance = UtteranceId(1);
        let samples = Arc::from(sound.at_rate(answered.leg.rate_hz));
        let _ = media.send(Command::Play {
            leg,
            utterance,
            samples,
        });
        let _ = media.send(Command::Finish(leg, utterance));
    }
    if let Some(digits) = &args.dtmf {
        let _ = media.send(Command::SendDtmf(leg, digits.clone()));
    }
    let until: Option<Instant> = args
        .seconds
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
        .map(|seconds| begun + Duration::from_secs_f64(seconds.min(86_400.0)));
    let mut digits = String::new();
    let (cause, clean) = loop {
        tokio::select! {
            signal = answered.signals.recv() => match signal {
                Some(Signal::Reoffer { offer }) => {
                    let answer = answered.leg.answer_reoffer(offer.as_deref());
                    let answer = answer.map(Some).map_err(|error| error.status());
                    let _ = phone.line.sip().answer_reoffer(answered.call, answer).await;
                }
                Some(Signal::Confirmed { body: Some(answer) }) => {
                    if let Err(error) = answered.leg.take_answer(&answer) {
                        tracing::info!(%error, "an answer was of no use; the session goes on");
                    }
                }
                Some(Signal::Ended { cause: EndCause::RemoteBye { .. } }) => break ("remote", true),
                Some(Signal::Ended { .. }) | None => break ("lost", false),
                Some(_) => {}
            },
            event = answered.leg.event() => match event {
                Some(LegEvent::Dtmf { digit, .. }) => digits.push(digit),
                Some(_) => {}
                None => break ("lost", false),
            },
            () = clock::sleep_until(until) => break ("local", true),
            _ = interrupted.recv() => break ("local", true),
        }
    };
    let seconds = clock::now().duration_since(begun).as_secs_f64();
    if cause == "local" {
        hang_up(phone, &mut answered).await;
    }
    let (codec, srtp) = (answered.leg.codec.name(), answered.leg.srtp());
    let closed = tokio::time::timeout(CLOSING, answered.leg.closed()).await;
    let stats = closed.ok().flatten();
    Ended {
        cause,
        clean,
        seconds,
        digits,
        codec,
        srtp,
        stats,
    }
}

/// Says BYE and waits for its answer.
async fn hang_up(phone: &Phone, answered: &mut Answered) {
    let _ = phone.line.sip().hang_up(answered.call, None).await;
    let ended = async {
        while let Some(signal) = answered.signals.recv().await {
            if matches!(signal, Signal::Ended { .. }) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(CLOSING, ended).await;
}

fn report_failure(args: &CallArgs, failure: &DialFailure) -> ExitCode {
    if args.json {
        super::say(json!({
            "uri": args.uri, "answered": false, "status": failure.status(),
            "error": failure.to_string(),
        }));
    } else {
        super::say(format_args!("not answered: {failure}"));
    }
    ExitCode::FAILURE
}

fn report_end(args: &CallArgs, ended: &Ended) -> ExitCode {
    let stats = ended.stats.as_deref();
    if args.json {
        super::say(json!({
            "uri": args.uri, "answered": true, "status": 200, "ended_by": ended.cause,
            "seconds": (ended.seconds * 1000.0).round() / 1000.0, "codec": ended.codec,
            "srtp": ended.srtp.map(Suite::name),
            "digits": ended.digits,
            "packets_sent": stats.map(|s| s.packets_sent),
            "packets_received": stats.map(|s| s.received),
            "packets_lost": stats.map(|s| s.lost),
            "jitter_ms": stats.map(|s| s.jitter_ms),
        }));
    } else {
        let (sent, received, lost) =
            stats.map_or((0, 0, 0), |s| (s.packets_sent, s.received, s.lost));
        super::say(format_args!(
            "ended by {} after {:.1} s: {sent} packets sent, {received} received, {lost} lost{}",
            ended.cause,
            ended.seconds,
            if ended.digits.is_empty() {
                String::new()
            } else {
                format!("; digits {}", ended.digits)
            }
        ));
    }
    if ended.clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        call: CallArgs,
    }

    #[test]
    fn what_is_no_key_is_refused_before_anyone_is_called() {
        let parse =
            |digits: &str| Line::try_parse_from(["call", "sip:a@127.0.0.1", "--dtmf", digits]);
        let refused = parse("12x").unwrap_err().to_string();
        assert!(refused.contains("'x' is no telephone key"), "{refused}");
        assert!(parse(&"1".repeat(300)).is_err());
        assert_eq!(parse("42#,A").unwrap().call.dtmf.as_deref(), Some("42#,A"));
    }
}
