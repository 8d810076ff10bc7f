//! The state of a campaign.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::ledger::{Donation, Ledger};
use crate::money::Currency;

/// The actor `donations:{campaign}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Donations {
    /// `None` until it is opened.
    pub campaign: Option<Campaign>,
}

/// An open campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// What people see.
    pub title: String,
    /// The currency that `total` counts.
    pub currency: Currency,
    /// In that currency.
    pub goal: Decimal,
    /// Sum of the donations in that currency that were not given back.
    pub total: Decimal,
    /// How many they are.
    pub count: u64,
    /// Every donation there ever was.
    pub ledger: Ledger,
}

impl Donations {
    /// [`host_sdk::Plugin::apply`].
    pub(crate) fn applied(&mut self, event: Event) {
        match event {
            Event::Opened {
                title,
                currency,
                goal,
            } => {
                self.campaign = Some(Campaign {
                    title,
                    currency,
                    goal,
                    total: currency.zero(),
                    count: 0,
                    ledger: Ledger::default(),
                });
            }
            Event::Donated {
                receipt_no: _,
                donation_id,
                donor,
                amount,
                currency,
                total,
                count,
            } => {
                // No gift is taken before the opening, so a journal has none either.
                let Some(campaign) = &mut self.campaign else {
                    return;
                };
                campaign.total = total;
                campaign.count = count;
                campaign.ledger.push(Donation {
                    donation_id,
                    donor,
                    amount,
                    currency,
                    total,
                    count,
                    refunded: false,
                });
            }
        }
    }
}
