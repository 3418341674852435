//! The end of an import, told to webhooks: noted as told only when the log has it, so that it is told whatever is killed when, and
//! under one name, so that it counts once.

use std::time::Duration;

use stockade_log::{Ack, NewRecord, Route};
use stockade_model::{Audience, Envelope, Notice, Payload, Timestamp, Topic, WebhookRecord};

use super::{Import, Imports, meta::Meta};

/// How long after the log did not take it, it is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// What is told of an import: what becomes of rows, and where the report is.
fn notice(meta: &Meta) -> Notice {
    let at = Timestamp::from_ms(meta.finished_ms.unwrap_or(meta.changed_ms));
    let told = serde_json::to_value(meta.told(None)).unwrap_or_default();
    let mut data = serde_json::json!({ "supplier": meta.supplier });
    for name in ["import", "state", "mode", "finished_at", "rows", "problem", "links"] {
        data[name] = told[name].clone();
    }
    Notice {
        id: format!("import/{}", meta.import),
        event: "import.finished".to_owned(),
        at,
        audience: Audience::Supplier { supplier: meta.supplier.clone() },
        data,
    }
}

impl Imports {
    /// Tells of imports that have ended and were not told of yet; whether any could not be.
    pub(super) async fn tell_of_ends(&self) -> bool {
        let ended = |import: &&Import| {
            let meta = import.meta.lock();
            meta.state.is_finished() && !meta.told
        };
        let ends: Vec<Import> =
            self.known.lock().values().flat_map(|of| of.values()).filter(ended).cloned().collect();
        let mut untold = false;
        for import in ends {
            let notice = notice(&import.meta.lock());
            let (id, payload) = (notice.id.clone(), Payload::Webhook(WebhookRecord::Notice(notice)));
            let record = NewRecord {
                topic: Topic::Webhooks.name(),
                route: Route::Partition(0),
                key: bytes::Bytes::new(),
                headers: Envelope::new(payload.kind(), id, "stockade/imports").headers(),
                value: payload.encode().into(),
            };
            match self.app.log.append(vec![record], Ack::Durable).await {
                Ok(_) => {
                    if let Err(error) = self.change(&import, |meta| meta.told = true) {
                        tracing::warn!(%error, "that the end of an import was told cannot be noted; it will be told again");
                        untold = true;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the end of an import could not be told yet");
                    untold = true;
                }
            }
        }
        untold
    }
}
