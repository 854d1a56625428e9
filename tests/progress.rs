//! How calls go on, as the store keeps it: turns and events that come at once.

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used)]

mod crm_support;

use crm_support::{at, event, incoming, open, turn};
use offhook::store::Who;
use tempfile::tempdir;

#[tokio::test]
async fn what_is_told_of_several_calls_at_once_is_kept_letter_by_letter() {
    let folder = tempdir().unwrap();
    let store = open(folder.path()).await;
    let words = [
        "[1, 2]",
        "42",
        "null",
        "say \"é\"\n\\",
        "",
        "☎ 👋",
        "{\"a\":1}",
    ];
    let calls = ["a", "b"].map(|from| incoming(from, 0));
    let said = |n: u32, word: &str| {
        let mut turn = turn(Who::Agent, word, i64::from(n));
        turn.heard_text = n.is_multiple_of(2).then(|| word.to_owned());
        turn.interrupted = n.is_multiple_of(3);
        turn
    };
    let mut told = Vec::new();
    for call in &calls {
        store.insert_call(call.clone()).await.unwrap();
        for (n, word) in (0..).zip(words) {
            let (store, id, turn) = (store.clone(), call.id, said(n, word));
            told.push(tokio::spawn(async move {
                store.append_turn(id, n, turn, at(9)).await.unwrap();
                store.append_event(event(Some(id), word)).await.unwrap()
            }));
        }
    }
    let mut ids = Vec::new();
    for told in told {
        ids.push(told.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * words.len());
    for call in &calls {
        let kept = store.transcript(call.id).await.unwrap();
        let expected: Vec<_> = (0..).zip(words).map(|(n, word)| said(n, word)).collect();
        assert_eq!(kept, expected);
    }
}
