//! Events on the objects that users look at (`kubectl describe`): one task sends them in order, nobody waits for them.
//!
//! An event that cannot be sent is logged and dropped: it is a message, never state.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder as KubeRecorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{MANAGER, call};
use crate::error::{Class, Classified};

/// The API server takes notes of up to 1,024 bytes.
const NOTE_LIMIT: usize = 1000;

/// The API server takes reasons and actions of up to 128 characters.
const CODE_LIMIT: usize = 128;

/// Events that may wait to be sent; more than that is a flood that nobody reads.
const WAITING_LIMIT: usize = 1024;

const SEND_LIMIT: Duration = Duration::from_secs(10);

/// Whether an event reports something good or something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Sends events; one per process, cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<(Event, ObjectReference)>,
}

impl Recorder {
    /// Starts the sending task. It ends when all clones are dropped and everything has been sent.
    ///
    /// `instance` is this process' name (`--identity`); it shows as `reportingInstance`.
    #[must_use]
    pub fn start(client: Client, instance: &str) -> (Self, JoinHandle<()>) {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(cut(instance, CODE_LIMIT)) };
        let recorder = KubeRecorder::new(client, reporter);
        let (queue, mut waiting) = mpsc::channel::<(Event, ObjectReference)>(WAITING_LIMIT);
        let task = tokio::spawn(async move {
            while let Some((event, object)) = waiting.recv().await {
                let action = format!("record event {} of {}", event.reason, name(&object));
                match call(action, SEND_LIMIT, recorder.publish(&event, &object)).await {
                    Ok(()) => {}
                    // The object has gone, or its namespace is going: there is nobody left to tell.
                    Err(error) if error.class() == Class::Stale => {
                        tracing::debug!(%error, note = event.note, "an event was not recorded");
                    }
                    Err(error) => tracing::warn!(%error, note = event.note, "an event was not recorded"),
                }
            }
        });
        (Self { queue }, task)
    }

    /// Whether another event can wait to be sent. Who has many to record, and can come back later, asks before each.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Records an event on `object`.
    ///
    /// `reason` is the stable code that users see. `action` tells apart events of the same reason: those that agree in object,
    /// kind, reason and action within six minutes are counted on the first one, *whose note stays*. So it names the step or
    /// field at issue, and never a request id. Notes are cut at 1,000 bytes.
    pub fn emit(&self, object: &ObjectReference, kind: Kind, reason: &str, action: &str, note: &str) {
        let event = Event {
            type_: match kind {
                Kind::Normal => EventType::Normal,
                Kind::Warning => EventType::Warning,
            },
            reason: cut(reason, CODE_LIMIT),
            note: Some(cut(note, NOTE_LIMIT)),
            action: cut(action, CODE_LIMIT),
            secondary: None,
        };
        if self.queue.try_send((event, object.clone())).is_err() {
            tracing::warn!(object = name(object), reason, note, "an event was dropped: too many wait to be sent");
        }
    }
}

fn name(object: &ObjectReference) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{} {}/{}", part(&object.kind), part(&object.namespace), part(&object.name))
}

/// At most `limit` bytes of `text`, never half a character; an ellipsis shows the cut.
fn cut(text: &str, limit: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len()));
    let (kept, _) = text.split_at_checked(end).unwrap_or_default();
    format!("{kept}{ELLIPSIS}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(cut("short", NOTE_LIMIT), "short");
        assert_eq!(cut(&"a".repeat(1000), NOTE_LIMIT).len(), 1000);
        let long = cut(&"a".repeat(1001), NOTE_LIMIT);
        assert_eq!((long.len(), long.ends_with("a…")), (1000, true));
        // 'ü' takes two bytes: 997 is in the middle of one.
        let long = cut(&"ü".repeat(600), NOTE_LIMIT);
        assert_eq!((long.len(), long.chars().count()), (999, 499));
    }
}
