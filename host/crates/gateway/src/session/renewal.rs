//! A client's tokens come one after the other, over a connection that stays for weeks: each
//! is of whoever opened it, and takes the place of the one before.

use super::{Action, Session, refusal};
use crate::guard::Caller;
use crate::phoenix::{self, Asked, CONNECTION_TOPIC, Incoming};
use crate::tokens::TokenError;
use crate::ws::Encoded;

/// The event of the connection's topic that brings another token.
pub(super) const EVENT: &str = "token";

const TOKEN_ENDED: &str = "the token of this connection has expired: send a new one as the event \
    `token` of the topic `phoenix`, or connect again with one";

const OTHER_SUBJECT: &str = "the token is of another `sub` than this connection's: connect again \
    with it";

impl Session {
    /// Takes what is known by the token that [`Action::Renew`] had.
    pub(crate) fn on_token(
        &mut self,
        renewed: Result<Caller, TokenError>,
        asked: &Asked,
    ) -> Encoded {
        let renewed = renewed.map_err(|error| (error.reason(), error.to_string()));
        let is_same = |caller: &Caller| caller.principal == self.caller.principal;
        match renewed {
            Ok(caller) if is_same(&caller) => {
                self.caller = caller;
                phoenix::reply_ok(asked, CONNECTION_TOPIC, b"{}")
            }
            refused => {
                let other = |_| ("bad_token", OTHER_SUBJECT.to_owned());
                let (reason, text) = refused.map_or_else(|error| error, other);
                phoenix::reply_error(asked, CONNECTION_TOPIC, reason, &text)
            }
        }
    }
}

/// That the connection's token is none any more.
pub(super) fn ended(message: &Incoming<'_>) -> Action {
    refusal(message, TokenError::Expired.reason(), TOKEN_ENDED)
}

/// Another token for the connection: `{"token": "..."}`.
pub(super) fn ask(message: &Incoming<'_>, actions: &mut Vec<Action>) {
    #[derive(serde::Deserialize)]
    struct Payload {
        token: String,
    }
    match serde_json::from_str::<Payload>(message.payload) {
        Ok(Payload { token }) => actions.push(Action::Renew {
            token,
            asked: message.asked.clone(),
        }),
        Err(_) => {
            let text = "the payload is to be {\"token\":\"...\"}";
            actions.push(refusal(message, "bad_payload", text));
        }
    }
}
