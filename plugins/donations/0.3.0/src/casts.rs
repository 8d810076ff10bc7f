//! How messages move from 0.2.0, and back to it.

use host_sdk::{Message, Rejection};
use serde_json::Value;

use crate::subscription;

/// [`host_sdk::Migrate::downcast`].
///
/// A gift loses the name of its pledge: the money is as welcome in 0.2.0, and the
/// repeat of a gift that was taken before gets its receipt. Which pledge was meant,
/// `fulfil` can say after the next `up`. Promises, subscriptions and their dates are
/// unknown there. So are they to its clients, who are told of the gifts themselves.
pub(crate) fn downcast(message: Message) -> Result<Message, Rejection> {
    let event = message.event.as_str();
    let is_new = matches!(
        event,
        "pledge"
            | "fulfil"
            | "cancel_pledge"
            | "subscribe"
            | "unsubscribe"
            | "pledge_made"
            | "pledge_fulfilled"
            | "pledge_cancelled"
            | "subscription_started"
            | "subscription_ended"
    );
    if is_new || subscription::of_timer(event).is_some() {
        return Err(Rejection::new(
            "unknown_event",
            format!(
                "{event:?} came with donations {}; this campaign is back on 0.2.0",
                env!("CARGO_PKG_VERSION")
            ),
        ));
    }
    let mut message = without_pledge(message);
    if message.event == "donation_received"
        && let Value::Object(payload) = &mut message.payload
    {
        payload.remove("pledge_id");
        payload.remove("subscription_id");
    }
    Ok(message)
}

/// A `donate` as 0.2.0 has it, in both directions.
pub(crate) fn without_pledge(mut message: Message) -> Message {
    if message.event == "donate"
        && let Value::Object(payload) = &mut message.payload
    {
        payload.remove("pledge_id");
    }
    message
}
