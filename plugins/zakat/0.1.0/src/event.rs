//! What has happened to a payer's record, and how it changes the state.

use serde::{Deserialize, Serialize};

use crate::{Asset, Payment, Zakat};

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An asset was declared, or declared anew.
    AssetDeclared {
        /// Its name.
        asset_id: String,
        /// As it is from now on.
        asset: Asset,
    },
    /// An asset is no longer owned.
    AssetRemoved {
        /// Its name.
        asset_id: String,
    },
    /// Zakat was paid.
    PaymentReceived {
        /// Its name.
        payment_id: String,
        /// How much, and when.
        payment: Payment,
    },
}

impl Zakat {
    pub(crate) fn record(&mut self, event: Event) {
        match event {
            Event::AssetDeclared { asset_id, asset } => {
                self.assets.insert(asset_id, asset);
            }
            Event::AssetRemoved { asset_id } => {
                self.assets.remove(&asset_id);
            }
            Event::PaymentReceived {
                payment_id,
                payment,
            } => {
                self.payments.insert(payment_id, payment);
            }
        }
    }
}
