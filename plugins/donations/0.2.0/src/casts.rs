//! How messages move back to 0.1.0. On the way here they stay as they are.

use host_sdk::{Message, Rejection};
use serde_json::Value;

/// [`host_sdk::Migrate::downcast`].
///
/// A gift of sadaqah loses the fields that 0.1.0 does not need. A gift to
/// another fund keeps its fund: 0.1.0 then refuses it by name (`bad_fund`)
/// unless the `donation_id` was taken before the way back, in which case the
/// repeat gets its receipt. This side of the boundary cannot know which it is.
/// Money that leaves a fund is unknown there.
pub(crate) fn downcast(mut message: Message) -> Result<Message, Rejection> {
    match message.event.as_str() {
        "refund" | "allocate" => Err(Rejection::new(
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
        _ => Ok(message),
    }
}
