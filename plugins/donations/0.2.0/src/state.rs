//! The state of a campaign.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::{Allocation, Books};
use crate::event::Event;
use crate::ledger::{Donation, Ledger, Refund};
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
    /// Every donation there ever was.
    pub ledger: Ledger,
    /// Everything that was spent, oldest first.
    pub allocations: Vec<Allocation>,
    /// What these two add up to.
    pub books: Books,
}

impl Donations {
    /// [`host_sdk::Plugin::apply`].
    pub(crate) fn applied(&mut self, event: Event) {
        if let Event::Opened {
            title,
            currency,
            goal,
        } = event
        {
            self.campaign = Some(Campaign {
                title,
                currency,
                goal,
                ledger: Ledger::default(),
                allocations: Vec::new(),
                books: Books::new(currency),
            });
        } else if let Some(campaign) = &mut self.campaign {
            // Nothing else happens before the opening, so a journal has nothing else either.
            campaign.applied(event);
        }
    }
}

impl Campaign {
    fn applied(&mut self, event: Event) {
        match event {
            // Refused while a campaign is open, so no journal has it here.
            Event::Opened { .. } => {}
            Event::Donated {
                receipt_no: _,
                donation_id,
                donor,
                amount,
                currency,
                fund,
                payer,
                total,
                count,
            } => {
                let donation = Donation {
                    donation_id,
                    donor,
                    amount,
                    currency,
                    fund,
                    payer,
                    total,
                    count,
                    refund: None,
                };
                self.books.receive(self.currency, &donation);
                self.ledger.push(donation);
            }
            Event::Refunded {
                donation_id,
                reason,
                ..
            } => {
                if let Some(donation) = self.ledger.refund(&donation_id, Refund { reason }) {
                    self.books.give_back(self.currency, donation);
                }
            }
            Event::Allocated(allocation) => {
                self.books.allocate(&allocation);
                self.allocations.push(allocation);
            }
        }
    }
}
