//! `offhook run --demo`: a stand-in Ploink, a scripted caller that really calls, and a terminal
//! that shows what happens. Nothing in here is known to the switch: it sees a call like any other.

mod caller;
mod terminal;

use std::net::SocketAddr;
use std::sync::Arc;

pub use caller::{CallerError, DemoCaller};
pub use terminal::Terminal;

use crate::crm::stand_in::StandIn;

/// Starts the stand-in Ploink on a free port of this machine and shows each request it gets.
///
/// # Errors
/// When no port can be had.
pub async fn start_crm(terminal: &Arc<Terminal>) -> std::io::Result<StandIn> {
    let crm = StandIn::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let mut requests = crm.subscribe();
    let terminal = Arc::clone(terminal);
    tokio::spawn(async move {
        while let Ok(request) = requests.recv().await {
            terminal.crm_request(&request);
        }
    });
    Ok(crm)
}
