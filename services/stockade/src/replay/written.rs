//! How the inputs of a play are written into its log.

use stockade_model::{Command, Envelope, Payload, Position, Row, SupplierId};

/// The envelope of input `number` of the play `name`, with a position of its own: what comes again is skipped like any other repeat.
pub(crate) fn envelope(name: &str, number: u64, payload: &Payload) -> Envelope {
    let mut envelope = Envelope::new(payload.kind(), format!("{name}-{number}"), name);
    envelope.position =
        Some(Position { fold: name.to_owned(), partition: 0, generation: 1, offset: number, index: 1 });
    envelope
}

/// The same as the API writes it: an event is recorded under its own id.
pub(crate) fn api_envelope(name: &str, number: u64, payload: &Payload) -> Envelope {
    let mut envelope = envelope(name, number, payload);
    if let Payload::OrderEvent(event) = payload {
        envelope.id = event.id.to_string();
    }
    envelope
}

/// What a supplier says about its inventory in input `number`.
pub(crate) fn command(number: u64, supplier: SupplierId, rows: Vec<Row>) -> Command {
    Command {
        supplier,
        idempotency_key: None,
        body_hash: number.to_string(),
        rows,
        precondition: None,
        places: Vec::new(),
        refused: Vec::new(),
        forgets: None,
    }
}
