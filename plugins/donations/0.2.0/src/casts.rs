//! How messages move from 0.1.0, and back to it.

use host_sdk::{Message, Rejection};
use serde::Deserialize;
use serde_json::Value;

use crate::fund::Fund;
use crate::limits::PAYER_BYTES_MAX;
use crate::text;

/// [`host_sdk::Migrate::upcast`].
pub(crate) fn upcast(mut message: Message) -> Message {
    if message.event == "donate"
        && let Value::Object(payload) = &mut message.payload
    {
        let is_payer = |payer: &str| text::actor_key("payer", payer.into(), PAYER_BYTES_MAX);
        let is_fine = |name: &str, value: &Value| match name {
            "fund" => value.is_null() || Fund::deserialize(value).is_ok(),
            "payer" => value.is_null() || value.as_str().is_some_and(|it| is_payer(it).is_ok()),
            _ => true,
        };
        payload.retain(|name, value| is_fine(name, value));
    }
    // What 0.1.0 tells of is sadaqah, as it is in its state.
    if message.event == "donation_received"
        && let Value::Object(payload) = &mut message.payload
    {
        payload.insert("fund".to_owned(), "sadaqah".into());
    }
    message
}

/// [`host_sdk::Migrate::downcast`].
///
/// A gift of sadaqah loses the fields that 0.1.0 does not need. A gift to
/// another fund keeps its fund: 0.1.0 then refuses it by name (`bad_fund`)
/// unless the `donation_id` was taken before the way back, in which case the
/// repeat gets its receipt. This side of the boundary cannot know which it is.
/// Money that leaves a fund is unknown there, so clients of 0.1.0 are not told of it; of a
/// gift they are, without its fund.
pub(crate) fn downcast(mut message: Message) -> Result<Message, Rejection> {
    match message.event.as_str() {
        "refund" | "allocate" | "donation_refunded" | "funds_allocated" => Err(Rejection::new(
            "unknown_event",
            format!(
                "{:?} came with donations {}; this campaign is back on 0.1.0",
                message.event,
                env!("CARGO_PKG_VERSION")
            ),
        )),
        "donate" => {
            if let Value::Object(payload) = &mut message.payload {
                payload.remove("payer");
                if payload.get("fund").is_some_and(|fund| fund == "sadaqah") {
                    payload.remove("fund");
                }
            }
            Ok(message)
        }
        "donation_received" => {
            if let Value::Object(payload) = &mut message.payload {
                payload.remove("fund");
            }
            Ok(message)
        }
        _ => Ok(message),
    }
}
