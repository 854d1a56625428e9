//! What an operator sees: log lines, metrics, and each turn's latency as a waterfall.

pub mod metrics;
mod waterfall;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogConfig, LogFormat};

pub use waterfall::{Latency, Stage, Waterfall};

/// Why nothing can be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The filter cannot be read.
    #[error("log.level {level:?} is not a filter such as \"info\": {reason}")]
    Filter {
        /// The filter as written.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process logs or measures already.
    #[error("{0} are set up already in this process")]
    Taken(&'static str),
}

/// Sets up logging for the whole process: to standard error, so that standard output stays free
/// for what a command prints; for people on a terminal, else one JSON object a line.
///
/// # Errors
/// Fails when the filter is no filter, or when logging is set up already.
pub fn init(config: &LogConfig) -> Result<(), ObserveError> {
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let default = if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    };
    let format = config.format.unwrap_or(default);
    let config = LogConfig {
        format: Some(format),
        ..config.clone()
    };
    init_to(&config, std::io::stderr, colour)
}

/// Sets up logging for the whole process to another writer; without a format in JSON.
///
/// # Errors
/// As [`init`].
pub fn init_to<W>(config: &LogConfig, writer: W, colour: bool) -> Result<(), ObserveError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(&config.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_span_events(FmtSpan::NONE);
    let set = match config.format {
        Some(LogFormat::Pretty) => builder.with_ansi(colour).compact().try_init(),
        Some(LogFormat::Json) | None => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(true)
            .try_init(),
    };
    set.map_err(|_| ObserveError::Taken("logs"))
}

/// Reads what is logged. The WebSocket library traces messages whole, with passwords' hashes and the
/// keys of media in them: that is never logged.
fn filter(level: &str) -> Result<EnvFilter, ObserveError> {
    let filter = EnvFilter::try_new(level).map_err(|error| ObserveError::Filter {
        level: level.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(match "tungstenite=warn".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        let config = LogConfig {
            level: "offhook=loud".to_owned(),
            format: None,
        };
        let error = init(&config).unwrap_err().to_string();
        assert!(error.contains("offhook=loud"), "{error}");
    }

    #[test]
    fn messages_of_websockets_are_not_traced_whatever_is_asked_for() {
        for level in ["trace", "tungstenite=trace,offhook=debug"] {
            let filter = filter(level).unwrap().to_string();
            assert!(filter.contains("tungstenite=warn"), "{filter}");
            assert!(!filter.contains("tungstenite=trace"), "{filter}");
        }
    }
}
