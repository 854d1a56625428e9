//! The demonstration of `offhook run --demo`: one real call, and how to make the next.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::call::Services;
use crate::crm::stand_in::StandIn;
use crate::demo::{DemoCaller, Terminal};
use crate::store;

/// Has the scripted caller ring the first agent, and waits until the CRM has heard of the call.
///
/// # Errors
/// Fails when the call cannot be placed, or leaves no trace.
pub(super) async fn demonstrate(
    services: &Arc<Services>,
    terminal: &Terminal,
    crm: &StandIn,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (_, address) = services
        .line
        .sip()
        .listeners()
        .first()
        .context("no SIP listener")?;
    let agent = services
        .agents
        .keys()
        .next()
        .context("no agent is configured")?;
    let uri = format!("sip:{agent}@{address}");
    terminal.say(format_args!(
        "A scripted caller dials {uri} over SIP and RTP:"
    ));
    let on_box = Arc::clone(services.on_box.get().context("the models are not loaded")?);
    let reason = DemoCaller::new(&uri).await?.call(&on_box).await?;
    tracing::debug!(reason = %reason.describe(), "the demonstration call ended");
    // The record is kept first, then the CRM hears of it.
    let record = last_record(services)
        .await
        .context("the call left no record")?;
    let told = async {
        while crm.requests_to("POST", "/api/voice/call-log").is_empty() {
            crm.arrived(crm.requests().len() as u64 + 1).await;
        }
    };
    let delivered = tokio::time::timeout(Duration::from_secs(10), told)
        .await
        .is_ok();
    if json {
        let calls = crm.requests();
        super::say(serde_json::json!({ "call": record, "crm": calls, "delivered": delivered }));
    }
    anyhow::ensure!(delivered, "the CRM was not told of the call");
    Ok(ExitCode::SUCCESS)
}

async fn last_record(services: &Services) -> Option<store::CallRecord> {
    let filter = store::CallFilter::default();
    for _ in 0..100 {
        let page = services.store.calls(&filter, None, 1).await.ok()?;
        let latest = page.items.into_iter().next()?;
        if latest.state.is_final() {
            return services.store.call(latest.id).await.ok()?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// Says how to call in.
pub(super) fn invite(services: &Services, terminal: &Terminal, api: SocketAddr) {
    let sip = services
        .line
        .sip()
        .listeners()
        .first()
        .map(|(_, address)| *address);
    let Some(sip) = sip else { return };
    let agent = services.agents.keys().next().cloned().unwrap_or_default();
    terminal.say(format_args!(
        "\nNow call in yourself, from this machine:\n  \
         a softphone      dial sip:{agent}@{sip} (no account needed on this machine)\n  \
         the command line offhook call sip:{agent}@{sip} --play hello.wav --record heard.wav\n  \
         the API          curl http://{api}/v1/calls\nCtrl-C ends it."
    ));
}
