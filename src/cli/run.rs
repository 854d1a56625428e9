//! `offhook run`: the switch, in boot order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rand::Rng;
use tokio_util::sync::CancellationToken;

use super::ambience::Ambiences;
use super::demonstration::{demonstrate, invite};
use super::housekeeping;
use super::sip_settings::{advertise, sip_settings};
use crate::agent::flow::{self, Flow, Problem};
use crate::ai::llm::LlmClient;
use crate::ai::{OnBox, Voicing, Words};
use crate::backend::Backend;
use crate::call::line::{LegTerms, Line};
use crate::call::{AgentSpec, Recorder, ServiceParts, Services, Watcher, prepare_music};
use crate::clock;
use crate::config::{self, Config, Env, FlowSource};
use crate::crm::ploink::PloinkConfig;
use crate::crm::{Delivery, DeliveryOptions, STOP_GRACE, Sinks};
use crate::demo::{self, Terminal};
use crate::http;
use crate::net::media::{MediaThreads, PortPool, Probe};
use crate::net::sip::{Listen, News, Sip, Tls, TlsFiles};
use crate::observe;
use crate::store::{self, Appointment, CallRecord, Health, Store, StoreError};
use crate::switch::{NumberPlan, Trunk, TrunkKind, TrunkTable, contact_user};
use crate::{meters, switchboard, trunks};

/// Events kept for subscribers that come back, and buffered for each.
const EVENTS_KEPT: usize = 2_000;
const EVENTS_BUFFERED: usize = 256;
/// How long running calls may take to say goodbye once the switch stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long the recordings' last frames may take to be written.
const LAST_FRAMES: Duration = Duration::from_secs(5);
/// How long the outbox may go on delivering once the switch stops.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// Runs the switch until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  offhook run --demo\n  offhook run --config \
    /etc/offhook/offhook.toml"
)]
pub(super) struct RunArgs {
    /// The configuration; without it offhook.toml, config/offhook.toml or /etc/offhook/offhook.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prove it with one real call on this machine, with a stand-in CRM, then keep serving
    #[arg(long)]
    demo: bool,
    /// Print the demonstration call's record as JSON and stop
    #[arg(long, requires = "demo")]
    json: bool,
    /// Take utterances from the recogniser's queue without recognising them: for benches
    #[arg(long, hide = true)]
    consume: bool,
    /// Write how long packets take to the listeners to this file: for benches
    #[arg(long, hide = true, value_name = "FILE")]
    probe: Option<PathBuf>,
    /// Keep the models busy from SIGUSR1 on: for benches
    #[arg(long, hide = true)]
    saturate: bool,
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = match (&args.config, args.demo) {
        (None, true) => Config::demo(&Env::process()),
        (file, _) => super::config::load(file.as_ref()),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(errors) => return Ok(super::config::refuse(&errors)),
    };
    let wrong = super::config::unusable(&config);
    if !wrong.is_empty() {
        return Ok(super::config::refuse_unusable(&wrong));
    }
    observe::init(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    super::runtime()?.block_on(serve(config, &args))
}

async fn serve(mut config: Config, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let (demo, json) = (args.demo, args.json);
    let metrics = observe::metrics::Metrics::install()?;
    // With --json standard output is for machines: the transcript goes beside it.
    let terminal = Arc::new(if json {
        Terminal::on_stderr()
    } else {
        Terminal::default()
    });
    let crm = if demo {
        Some(demo::start_crm(&terminal).await?)
    } else {
        None
    };
    if let Some(crm) = &crm {
        config.crm.ploink = Some(PloinkConfig {
            base_url: crm.base_url(),
            ..PloinkConfig::default()
        });
    }
    let watcher = demo.then(|| Arc::clone(&terminal) as Arc<dyn Watcher>);
    let stop = CancellationToken::new();
    let options = store::Options::default();
    let probe = args.probe.as_deref().map(super::bench::probe).transpose()?;
    let (services, news) = assemble_probed(config, options, watcher, &stop, probe.clone()).await?;
    tokio::spawn(switchboard::run(Arc::clone(&services), news));
    tokio::spawn(meters::run(Arc::clone(&services), metrics.clone()));
    let api = serve_api(&services, metrics, &stop).await?;
    greet(&services, api);
    if args.saturate {
        super::saturation::on_signal(Arc::clone(&services))?;
    }
    let words = if args.consume {
        Words::Consume
    } else {
        Words::Recognise
    };
    let loading = load_models(Arc::clone(&services), demo, words, probe);
    if let Some(crm) = &crm {
        loading.await?;
        let code = demonstrate(&services, &terminal, crm, json).await?;
        if json {
            finish(&services, &stop).await;
            return Ok(code);
        }
        invite(&services, &terminal, api);
    } else {
        let services = Arc::clone(&services);
        tokio::spawn(async move {
            if let Err(error) = loading.await {
                tracing::error!("agents cannot take calls: {error:#}");
                let _ = services.on_box_failed.set(format!("{error:#}"));
            }
        });
    }
    stop_signal().await?;
    tracing::info!("stopping: no new calls; running ones are ended");
    finish(&services, &stop).await;
    Ok(ExitCode::SUCCESS)
}

/// Opens everything that a call needs, in the order in which one thing needs the other; the
/// models come later, into [`Services::on_box`].
///
/// # Errors
/// Fails when a file, a socket or a thread cannot be had, or a flow cannot run.
pub async fn assemble(
    config: Config,
    options: store::Options,
    watcher: Option<Arc<dyn Watcher>>,
    stop: &CancellationToken,
) -> anyhow::Result<(Arc<Services>, tokio::sync::mpsc::Receiver<News>)> {
    assemble_probed(config, options, watcher, stop, None).await
}

async fn assemble_probed(
    config: Config,
    options: store::Options,
    watcher: Option<Arc<dyn Watcher>>,
    stop: &CancellationToken,
    probe: Option<Arc<Probe>>,
) -> anyhow::Result<(Arc<Services>, tokio::sync::mpsc::Receiver<News>)> {
    let config = Arc::new(with_absolute_recordings(config)?);
    let store = Store::open(config.store.url.expose(), options).await?;
    let sinks = Sinks::new(config.crm.ploink.clone())?;
    let agents = agents(&config)?;
    let mut keepers = trunks::find(&config).await;
    let peers = trunks::peers(&config.trunks, &mut keepers);
    let settings = sip_settings(&config, peers);
    let origins = config.sip.ws_origins.iter().map(ToString::to_string);
    let (listen, tls) = (listeners(&config), tls(&config)?);
    let (sip, news) = Sip::start_for_pages(&listen, tls, origins.collect(), settings).await?;
    let media = MediaThreads::start(config.media.threads, probe.as_ref())?;
    let ports = &config.media.ports;
    let ports = PortPool::new(ports.first..=ports.last, rand::rng().random());
    let line = Line::new(sip, media, ports, advertise(&config));
    let line = Arc::new(line.with_terms(leg_terms(&config)));
    let recorder = config
        .media
        .recordings
        .as_deref()
        .map(|folder| Recorder::start(folder, config.media.recording_format))
        .transpose()?;
    let delivery = Delivery::new(store.clone(), sinks.clone(), DeliveryOptions::default());
    housekeeping::begin(&store, &config);
    // Before anybody has to wait.
    tokio::task::spawn_blocking(prepare_music);
    let first_event = store.first_event().cast_unsigned();
    let parts = ServiceParts {
        agents,
        trunks: TrunkTable::new(config.trunks.iter().map(trunk).collect()),
        line,
        store,
        sinks: Arc::new(sinks),
        bus: http::events::EventBus::new(first_event, EVENTS_KEPT, EVENTS_BUFFERED),
        llm: config.llm.clone().map(LlmClient::new).transpose()?,
        http: reqwest::Client::builder().build()?,
        recorder,
        watcher,
        config,
    };
    let services = Arc::new(Services::new(parts));
    tokio::spawn(Arc::clone(&services).tell_watchers());
    tokio::spawn(Arc::clone(&services).watch_deadlines());
    for keeper in keepers {
        let states = Arc::clone(&services.trunk_states);
        tokio::spawn(keeper.run(Arc::clone(&services.line), states));
    }
    let now = || clock::FreshEpoch.timestamp(clock::now());
    let delivering = delivery.run(now, stop.clone());
    services.background.spawn(delivering);
    let closing = close_cut_off(Arc::clone(&services));
    if services.store.health() == Health::Ready {
        closing.await?;
    } else {
        tokio::spawn(async move {
            if let Err(error) = closing.await {
                tracing::error!(%error, "calls cut off by the last stop were not closed");
            }
        });
    }
    Ok((services, news))
}

/// Closes the calls that the last stop cut off, once the database says which those are. It comes
/// after the bus has been joined to the store: who resumes a stream of events hears of their end.
async fn close_cut_off(services: Arc<Services>) -> Result<(), StoreError> {
    let plan = |record: &CallRecord, booked: &[Appointment]| services.plan_end(record, booked);
    let closed = services.store.recover(plan).await?;
    if !closed.is_empty() {
        let calls = closed.len();
        tracing::warn!(calls, "calls cut off by the last stop were closed");
    }
    Ok(())
}

/// Writes out where recordings lie: calls' records name their files, and are read by whoever starts
/// the switch in another folder.
fn with_absolute_recordings(mut config: Config) -> anyhow::Result<Config> {
    if let Some(folder) = &mut config.media.recordings {
        *folder = std::path::absolute(&folder)?;
    }
    Ok(config)
}

fn agents(config: &Config) -> anyhow::Result<BTreeMap<String, Arc<AgentSpec>>> {
    let (mut agents, mut ambiences) = (BTreeMap::new(), Ambiences::default());
    for agent in &config.agents {
        let (flow, source) = match &agent.flow {
            FlowSource::File(path) => (flow::load(path), path.display().to_string()),
            FlowSource::BuiltIn(name) => (built_in_flow(name), format!("builtin:{name}")),
        };
        let flow = flow.map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("agent `{}` cannot run:\n{}", agent.name, lines.join("\n"))
        })?;
        let spec = AgentSpec {
            config: agent.clone(),
            flow: Arc::new(flow),
            source,
            ambience: ambiences.of(agent)?,
        };
        agents.insert(agent.name.clone(), Arc::new(spec));
    }
    Ok(agents)
}

/// The flows that are part of the program.
fn built_in_flow(name: &str) -> Result<Flow, Vec<Problem>> {
    let text = match name {
        "lead-qualification" => include_str!("../../config/flows/lead-qualification.toml"),
        // The configuration lets no other name through.
        _ => "",
    };
    flow::parse(&format!("builtin:{name}"), text)
}

fn listeners(config: &Config) -> Vec<Listen> {
    let listen = config.sip.listen.iter();
    listen
        .map(|l| Listen {
            transport: l.transport.into(),
            address: l.address,
        })
        .collect()
}

/// Reads the certificates that the configuration names: one that is of no use is found now, not
/// when a call is placed.
pub(super) fn tls(config: &Config) -> anyhow::Result<Tls> {
    let tls = match &config.sip.tls {
        Some(files) => Tls::new(TlsFiles {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            client_ca: files.client_ca.clone(),
        })
        .context("[sip.tls]")?,
        None => Tls::default(),
    };
    for trunk in &config.trunks {
        if let Some(ca) = &trunk.ca {
            tls.check(ca)
                .with_context(|| format!("`ca` of [[trunk]] \"{}\"", trunk.name))?;
        }
    }
    Ok(tls)
}

/// A trunk as calls are placed over it.
pub(crate) fn trunk(trunk: &config::TrunkConfig) -> Trunk {
    Trunk {
        name: trunk.name.clone(),
        kind: match trunk.kind {
            config::TrunkKind::Peer => TrunkKind::Peer,
            config::TrunkKind::Register => TrunkKind::Register,
            config::TrunkKind::Inbound => TrunkKind::Inbound,
        },
        host: Some(trunk.host.clone()).filter(|host| !host.is_empty()),
        port: trunk.port,
        username: trunk.aor_user().map(str::to_owned),
        domain: Some(trunk.domain().to_owned()).filter(|domain| *domain != trunk.host),
        contact_user: contact_user(trunk),
        identity: trunk.identity,
        caller_id: trunk.caller_id.clone(),
        caller_ids: trunk.caller_ids.clone(),
        plan: NumberPlan::of(trunk),
    }
}

/// Starts the API and returns its address.
///
/// # Errors
/// Fails when `http.listen` cannot be had.
pub async fn serve_api(
    services: &Arc<Services>,
    metrics: observe::metrics::Metrics,
    stop: &CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let backend = Backend(Arc::clone(services));
    let server = http::Server::bind(&services.config.http).await?;
    let address = server.address();
    let stop = stop.clone();
    tokio::spawn(server.run(Arc::new(backend), Some(metrics), stop));
    Ok(address)
}

/// Loads the models off the async threads; calls are refused with 503 until they are in.
fn load_models(
    services: Arc<Services>,
    demo: bool,
    words: Words,
    probe: Option<Arc<Probe>>,
) -> impl Future<Output = anyhow::Result<()>> + Send {
    let task = tokio::task::spawn_blocking(move || {
        if services.agents.is_empty() {
            return Ok(());
        }
        let begun = clock::now();
        let voicing = if demo {
            Voicing::Repeatable
        } else {
            Voicing::Natural
        };
        let agents = services.agents.values();
        let voices = agents.filter_map(|agent| agent.config.voice.as_deref());
        let on_box = OnBox::load(&services.config.models, voices, voicing, words)?;
        if let Some(probe) = probe {
            on_box.hearing.watched_by(probe);
        }
        let took_ms = clock::ms_between(begun, clock::now());
        tracing::info!(took_ms, "the speech models are loaded: agents take calls");
        services.models_loaded(Arc::new(on_box));
        Ok::<(), anyhow::Error>(())
    });
    async move { task.await? }
}

fn greet(services: &Services, api: SocketAddr) {
    for (transport, address) in services.line.sip().listeners() {
        tracing::info!("SIP on {transport:?} {address}");
    }
    tracing::info!("API on http://{api}");
    for agent in services.agents.values() {
        tracing::info!("agent {} answers with {}", agent.config.name, agent.source);
    }
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Ends the calls, keeps their records, and lets the outbox deliver what it can.
pub async fn finish(services: &Arc<Services>, stop: &CancellationToken) {
    services.stop_taking();
    services.end_all();
    let quiet = async {
        while services.running() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(FAREWELL, quiet).await.is_err() {
        tracing::warn!(calls = services.running(), "calls did not end in time");
    }
    if let Some(recorder) = &services.recorder {
        // A disk that stands still must not keep the process.
        let _ = tokio::time::timeout(LAST_FRAMES, recorder.finish()).await;
    }
    let delivered = async {
        while services
            .store
            .outbox_depth()
            .await
            .is_ok_and(|depth| depth.pending + depth.delivering > 0)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(LAST_DELIVERIES, delivered).await;
    stop.cancel();
    // What is in flight settles in the store first: it is cut off after its own grace.
    services.background.close();
    let settled = services.background.wait();
    if tokio::time::timeout(STOP_GRACE * 2, settled).await.is_err() {
        tracing::warn!("deliveries did not settle in time: they are made again at the next start");
    }
    services.line.sip().close().await;
    services.store.close().await;
}

fn leg_terms(config: &Config) -> LegTerms {
    let seconds = u64::from(config.media.silence_hangup_s);
    LegTerms {
        jitter_min_ms: config.media.jitter_min_ms,
        jitter_max_ms: config.media.jitter_max_ms,
        silence_hangup: (seconds > 0).then(|| Duration::from_secs(seconds)),
        ..LegTerms::default()
    }
}
