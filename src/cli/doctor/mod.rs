//! `offhook doctor TRUNK`: what stands between the switch and a trunk, in plain words: its name, its
//! addresses, whether they answer, the registration, and a call with all that calls need.

mod call;
mod keys;
mod seen;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use offhook_sip::{OptionsPing, Transport};
use serde::Serialize;
use serde_json::json;

use crate::call::{FirstHop, first_hop};
use crate::clock;
use crate::config::{Config, TrunkConfig, TrunkKind};
use crate::net::resolver::{Over, Resolver};
use crate::net::sip::{RegistrationState, SipError, local_address_towards};
use crate::phone::{self, Own, Phone};
use crate::trunks::{self, mends};
use seen::Seen;

/// Addresses that are asked at most.
const ASKED_MAX: usize = 4;
/// How long a connection may take to come about.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// How long an address may take to answer OPTIONS.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a registrar may take to take a registration or refuse it.
const REGISTERS_WITHIN: Duration = Duration::from_secs(40);

/// Examines a trunk. The exit code is 0 when nothing is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  offhook doctor twilio\n  offhook doctor carrier --call +12025550123 \
    --config offhook.toml --json\n\nIt speaks from a port of its own, so a carrier that knows you by your \
    address alone, and your firewall, see what the switch would send, but from another port; its media is in \
    `media.ports`, beside what the switch has there. A registration is \
    taken for its time, beside the switch's own, and given back."
)]
pub(super) struct DoctorArgs {
    /// The trunk, as the configuration names it
    trunk: String,
    /// The configuration; without it offhook.toml, config/offhook.toml or /etc/offhook/offhook.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A number to call over it: whoever answers hears keys and is put on hold for a moment
    #[arg(long, value_name = "NUMBER")]
    call: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    Doubtful,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    of: &'static str,
    health: Health,
    /// What was found, in words.
    found: String,
    /// What to change.
    mend: Option<String>,
}

/// All that was found, shown as it comes.
struct Findings {
    shown: bool,
    all: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, of: &'static str, found: impl Into<String>) {
        self.add(of, Health::Good, found.into(), None);
    }

    fn doubtful(&mut self, of: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.add(of, Health::Doubtful, found.into(), Some(mend.into()));
    }

    fn bad(&mut self, of: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.add(of, Health::Bad, found.into(), Some(mend.into()));
    }

    fn add(&mut self, of: &'static str, health: Health, found: String, mend: Option<String>) {
        if self.shown {
            let mark = match health {
                Health::Good => "good",
                Health::Doubtful => "odd ",
                Health::Bad => "BAD ",
            };
            super::say(format_args!("{mark}  {of:13} {found}"));
            if let Some(mend) = &mend {
                super::say(format_args!("                    → {mend}"));
            }
        }
        self.all.push(Finding {
            of,
            health,
            found,
            mend,
        });
    }

    fn is_healthy(&self) -> bool {
        self.all.iter().all(|finding| finding.health != Health::Bad)
    }
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = super::config::load(args.config.as_ref())?;
    let trunk = config.trunk(&args.trunk).cloned();
    let Some(trunk) = trunk else {
        let names: Vec<&str> = config.trunks.iter().map(|t| t.name.as_str()).collect();
        let known = match names.is_empty() {
            true => "there is no [[trunk]] at all".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        anyhow::bail!("no [[trunk]] is named {:?}: {known}", args.trunk);
    };
    super::runtime()?.block_on(examine(args, &config, &trunk))
}

async fn examine(
    args: &DoctorArgs,
    config: &Config,
    trunk: &TrunkConfig,
) -> anyhow::Result<ExitCode> {
    let mut findings = Findings {
        shown: !args.json,
        all: Vec::new(),
    };
    if trunk.kind == TrunkKind::Inbound {
        findings.good(
            "kind",
            "it only calls us: there is nobody to ask. Its calls are known by `networks`",
        );
    } else if let Some(hop) = Hop::find(trunk, &mut findings).await {
        let ports = &config.media.ports;
        let own = Own {
            tls: super::run::tls(config)?,
            advertise: super::sip_settings::advertise(config),
            ports: ports.first..=ports.last,
        };
        let phone = Phone::start_with(hop.local, None, own).await?;
        let mut seen = Seen::of(&phone);
        let reached = hop.ask(trunk, &phone, &mut findings).await;
        seen.look().introduction(&mut findings);
        if trunk.kind == TrunkKind::Register && reached.is_some() {
            register(trunk, &hop, &phone, &mut findings).await;
            seen.look().challenge("REGISTER", trunk, &mut findings);
        }
        match (&args.call, reached) {
            (Some(number), Some(_)) => {
                let called = (number.as_str(), &hop);
                call::examine((config, trunk), called, (&phone, &mut seen), &mut findings).await;
            }
            (Some(_), None) => {
                let mend = "first the trunk has to be reached";
                findings.bad("call", "not tried", mend);
            }
            (None, _) => {}
        }
    }
    if args.json {
        super::say(json!({
            "trunk": trunk.name, "healthy": findings.is_healthy(), "findings": findings.all,
        }));
    }
    Ok(match findings.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Where requests to the trunk go.
struct Hop {
    host: String,
    transport: Transport,
    targets: Vec<SocketAddr>,
    /// Our address towards it.
    local: std::net::IpAddr,
}

impl Hop {
    /// Looks it up.
    async fn find(trunk: &TrunkConfig, findings: &mut Findings) -> Option<Self> {
        let FirstHop { host, port, pinned } = FirstHop::configured(trunk);
        let resolver = Resolver::from_system();
        let over = Over::of(pinned, &phone::TRANSPORTS);
        let (transport, targets) = match resolver.resolve(&host, port, over).await {
            Ok(found) => (found.transport, found.addresses),
            Err(error) => {
                let mend = "check `host` (or `outbound_proxy`) against what the carrier wrote, and this machine's name servers";
                findings.bad("addresses", error.to_string(), mend);
                return None;
            }
        };
        let list: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let name = transport.to_string().to_lowercase();
        findings.good(
            "addresses",
            format!("{host} is {} ({name})", list.join(", ")),
        );
        let local = targets.first().copied().and_then(local_address_towards);
        let Some(local) = local else {
            let mend = "this machine has no route there: look at its network, and at IPv6 if the address is one";
            findings.bad("route", format!("there is no way to {host}"), mend);
            return None;
        };
        Some(Self {
            host,
            transport,
            targets,
            local,
        })
    }

    /// Asks each address whether it is there, and returns the first that is.
    async fn ask(
        &self,
        trunk: &TrunkConfig,
        phone: &Phone,
        findings: &mut Findings,
    ) -> Option<SocketAddr> {
        let mut reached = None;
        for target in self.targets.iter().take(ASKED_MAX) {
            if self.transport != Transport::Udp && !connects(*target, findings).await {
                continue;
            }
            if self.ask_one(trunk, phone, *target, findings).await {
                reached.get_or_insert(*target);
            }
        }
        if reached.is_none() && self.transport == Transport::Udp {
            // Some answer no OPTIONS, and take calls.
            reached = self.targets.first().copied();
        }
        reached
    }

    async fn ask_one(
        &self,
        trunk: &TrunkConfig,
        phone: &Phone,
        target: SocketAddr,
        findings: &mut Findings,
    ) -> bool {
        let (sip, whom) = (phone.line.sip(), first_hop::whom(trunk));
        let port = trunk
            .port
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let asked = async {
            let flow = sip.way_to(target, self.transport, Some(&whom)).await?;
            let uri = format!("sip:{}{port}", trunk.host);
            let route = first_hop::route(trunk, &[]);
            sip.ping(OptionsPing { uri, flow, route }).await
        };
        let began = clock::now();
        let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
        let answer = answer.unwrap_or(Ok(None));
        let ms = clock::now().duration_since(began).as_millis();
        match answer {
            Ok(Some(status)) => {
                let found = format!("{target} answers OPTIONS with {status} after {ms} ms");
                if self.transport == Transport::Tls {
                    let host = &self.host;
                    let found = format!("it names {host:?}, by an authority that is known here");
                    findings.good("certificate", found);
                }
                match status {
                    503 => {
                        findings.doubtful("options", found, "it is overloaded or in maintenance")
                    }
                    401 | 403 | 407 => findings.good(
                        "options",
                        format!("{found}: it is there, and does not say more to strangers"),
                    ),
                    _ => findings.good("options", found),
                }
                true
            }
            Ok(None) if self.transport == Transport::Tls => {
                let found = sip.tls_trouble(target, &whom).unwrap_or_else(|| {
                    format!("{target} takes the connection, but no SIP comes of it")
                });
                let mend = format!(
                    "its certificate must be for {:?} and of an authority that this machine knows, or that `ca` names",
                    self.host
                );
                findings.bad("certificate", found, mend);
                false
            }
            Ok(None) => {
                let found = format!("{target} does not answer OPTIONS");
                let mend = "either it never does (then set `ping_s = 0`), or a firewall drops what we send or what comes back, or it does not know our address";
                findings.doubtful("options", found, mend);
                false
            }
            Err(SipError::Tls(error)) => {
                let mend =
                    "look at the trunk's `ca`: a PEM file with the authority of its certificate";
                findings.bad("certificate", error.to_string(), mend);
                false
            }
            Err(error) => {
                findings.bad(
                    "options",
                    error.to_string(),
                    "this is ours: please report it",
                );
                false
            }
        }
    }
}

/// Whether somebody listens there.
async fn connects(target: SocketAddr, findings: &mut Findings) -> bool {
    let connecting = tokio::net::TcpStream::connect(target);
    match tokio::time::timeout(CONNECTS_WITHIN, connecting).await {
        Ok(Ok(_)) => {
            findings.good("connection", format!("{target} takes connections"));
            true
        }
        Ok(Err(error)) => {
            let mend = "check `port` and `transport`: nobody listens there, or a firewall refuses";
            findings.bad("connection", format!("{target}: {error}"), mend);
            false
        }
        Err(_) => {
            let seconds = CONNECTS_WITHIN.as_secs();
            let found = format!("{target} takes no connection within {seconds} s");
            let mend = "a firewall drops it: allow this machine to reach that port over TCP";
            findings.bad("connection", found, mend);
            false
        }
    }
}

/// Registers once, and gives that back.
async fn register(trunk: &TrunkConfig, hop: &Hop, phone: &Phone, findings: &mut Findings) {
    let sip = phone.line.sip();
    let placed = async {
        let target = hop.targets.first().copied();
        let (target, whom) = (target.ok_or(SipError::Gone)?, first_hop::whom(trunk));
        let flow = sip.way_to(target, hop.transport, Some(&whom)).await?;
        sip.register(trunks::register(trunk, flow)).await
    };
    let mut placed = match placed.await {
        Ok(placed) => placed,
        Err(error) => {
            let mend = "this is ours: please report it";
            return findings.bad("registration", error.to_string(), mend);
        }
    };
    let settled = async {
        loop {
            let state = placed.state.borrow_and_update().clone();
            if state != RegistrationState::Asking {
                return Some(state);
            }
            placed.state.changed().await.ok()?;
        }
    };
    match tokio::time::timeout(REGISTERS_WITHIN, settled).await {
        Ok(Some(RegistrationState::Registered { expires_s, .. })) => {
            let found = format!("it registers, for {expires_s} s");
            match expires_s < 60 {
                true => findings.doubtful(
                    "registration",
                    found,
                    "that is short: each refresh is a request; ask the carrier for more",
                ),
                false => findings.good("registration", found),
            }
        }
        Ok(Some(RegistrationState::Failed {
            status,
            reason,
            said,
            ..
        })) => {
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            let found = format!("REGISTER is answered with {status} {reason}{said}");
            findings.bad("registration", found, mends::of_registration(status));
        }
        _ => {
            let mend = "check `host`, `port` and `transport`; carriers drop what comes from an unknown user or address";
            findings.bad("registration", "nobody answers REGISTER", mend);
        }
    }
    let _ = sip.unregister(placed.registration).await;
}
