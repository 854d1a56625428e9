//! Keeps the inference threads busy with real work, so that a bench can tell what that does to the
//! calls: sentences are spoken and what was spoken is recognised, again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::ai::{Abandon, Audio, OnBox, Sound};
use crate::call::Services;

/// Sentences under way at once: more than there are threads to speak them.
const AT_ONCE: usize = 4;
const RATE_HZ: u32 = 8_000;
/// How long a sentence that was not spoken is waited for.
const FAILED_PAUSE: Duration = Duration::from_millis(200);

/// Waits for SIGUSR1 and for the models, and keeps these busy from then on.
///
/// # Errors
/// When the signal cannot be listened to.
pub(super) fn on_signal(services: Arc<Services>) -> std::io::Result<()> {
    let asked = signal(SignalKind::user_defined1())?;
    tokio::spawn(saturate(services, asked));
    Ok(())
}

async fn saturate(services: Arc<Services>, mut asked: Signal) {
    asked.recv().await;
    let Some(on_box) = services.on_box.get() else {
        tracing::warn!("the models are not loaded: nothing keeps them busy");
        return;
    };
    for first in 0..AT_ONCE {
        let on_box = Arc::clone(on_box);
        tokio::spawn(async move {
            for number in (first..).step_by(AT_ONCE) {
                hear_itself(&on_box, number).await;
            }
        });
    }
}

/// Speaks a sentence that was never spoken before, and recognises it.
async fn hear_itself(on_box: &OnBox, number: usize) {
    let text = format!("Your order number {number} was sent on Monday and is with you by Friday.");
    let (tell, mut told) = mpsc::unbounded_channel();
    let deliver = Box::new(move |sound| tell.send(sound).is_ok());
    let voice = on_box.voice(None);
    voice.speak(&text, RATE_HZ, Abandon::default(), deliver);
    let mut samples = Vec::new();
    while let Some(Sound::Chunk(chunk)) = told.recv().await {
        samples.extend_from_slice(&chunk);
    }
    if samples.is_empty() {
        // Refused, or without phonemes: it is not asked for as fast as it fails.
        return tokio::time::sleep(FAILED_PAUSE).await;
    }
    let audio = Audio {
        rate_hz: RATE_HZ,
        samples,
    };
    let (tell, told) = oneshot::channel();
    let deliver = Box::new(|result| {
        let _ = tell.send(result);
    });
    let recogniser = &on_box.recogniser;
    recogniser.recognise(audio, None, Abandon::default(), deliver);
    let _ = told.await;
}
