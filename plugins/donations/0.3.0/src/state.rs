//! The state of a campaign.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::{Allocation, Books};
use crate::event::Event;
use crate::ledger::{Donation, Ledger, Refund};
use crate::money::Currency;
use crate::pledge::Pledges;
use crate::subscription::{Standing, Subscription, Subscriptions};

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
    /// What was promised, and what has come of it.
    pub pledges: Pledges,
    /// Recurring gifts, by id.
    pub subscriptions: Subscriptions,
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
                pledges: Pledges::default(),
                subscriptions: Subscriptions::new(),
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
                pledge_id,
                subscription_id,
                total,
                count,
            } => {
                if let Some(pledge_id) = &pledge_id {
                    self.pledges.fulfil(pledge_id, amount);
                }
                if let Some(subscription_id) = &subscription_id {
                    self.advance(subscription_id);
                }
                let donation = Donation {
                    donation_id,
                    donor,
                    amount,
                    currency,
                    fund,
                    payer,
                    pledge_id,
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
                    if let Some(pledge_id) = &donation.pledge_id {
                        self.pledges.give_back(pledge_id, donation.amount);
                    }
                }
            }
            Event::Allocated(allocation) => {
                self.books.allocate(&allocation);
                self.allocations.push(allocation);
            }
            Event::Pledged { pledge_id, pledge } => self.pledges.promise(pledge_id, pledge),
            Event::PledgeFulfilled {
                pledge_id,
                donation_id,
                amount,
            } => {
                self.pledges.fulfil(&pledge_id, amount);
                self.ledger.fulfil(&donation_id, pledge_id);
            }
            Event::PledgeCancelled {
                pledge_id,
                cancellation,
            } => self.pledges.cancel(&pledge_id, cancellation),
            Event::Subscribed {
                subscription_id,
                terms,
                subject,
            } => {
                let subscription = Subscription::new(terms, subject);
                self.subscriptions.insert(subscription_id, subscription);
            }
            Event::DateCovered {
                subscription_id, ..
            } => self.advance(&subscription_id),
            Event::SubscriptionLapsed {
                subscription_id,
                reason,
            } => self.stand(&subscription_id, Standing::Lapsed { reason }),
            Event::Unsubscribed { subscription_id } => {
                self.stand(&subscription_id, Standing::Ended);
            }
        }
    }

    fn advance(&mut self, subscription_id: &str) {
        if let Some(subscription) = self.subscriptions.get_mut(subscription_id) {
            subscription.advance();
        }
    }

    fn stand(&mut self, subscription_id: &str, standing: Standing) {
        if let Some(subscription) = self.subscriptions.get_mut(subscription_id) {
            subscription.standing = standing;
        }
    }
}
