//! A bar on the terminal while a bench measures for long; none where nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is shorter is over before anybody asks.
const LONG_S: u64 = 30;

/// A bar that fills by itself, and is gone when this is dropped.
pub(super) struct Progress(Option<(ProgressBar, tokio::task::JoinHandle<()>)>);

impl Progress {
    /// Shows how much of so many seconds is over.
    pub(super) fn over(seconds: u64) -> Self {
        if seconds < LONG_S {
            return Self(None);
        }
        let bar = Self::bar(seconds, "s");
        let fills = bar.clone();
        let filling = tokio::spawn(async move {
            let mut beats = tokio::time::interval(Duration::from_secs(1));
            beats.tick().await;
            loop {
                beats.tick().await;
                fills.inc(1);
            }
        });
        Self(Some((bar, filling)))
    }

    /// A bar for so many things of a kind, which its owner moves.
    pub(super) fn bar(count: u64, of: &str) -> ProgressBar {
        let template = format!("measuring {{bar:40}} {{pos}}/{{len}} {of}");
        let style = ProgressStyle::with_template(&template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(count).with_style(style)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((bar, filling)) = self.0.take() {
            filling.abort();
            bar.finish_and_clear();
        }
    }
}
