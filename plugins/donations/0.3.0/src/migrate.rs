//! How a campaign moves between 0.2.0 and this version.
//!
//! 0.2.0 can say of every donation, also of those that came from a pledge or a
//! subscription, all but which pledge it fulfils; and it can say what was spent, and
//! what that adds up to. It knows no promises and no dates. Those, and no more, are the
//! carry; what has come of a pledge travels in neither, it is added up again.
//!
//! 0.2.0 takes gifts meanwhile, and gives some back: a pledge whose gift was given back
//! is outstanding again. No subscription gives while it rules: the timer that would is
//! unknown to it, and the host keeps it aside until the next `up`. Each date that has
//! passed by then has its gift afterwards, late and once; a gift that 0.2.0 took under
//! the id of one is that date's. Therefore `changed` makes no difference here.

use std::collections::BTreeMap;

use host_sdk::{Migrated, MigrationError};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::{Allocation, Books};
use crate::check;
use crate::fund::Fund;
use crate::ledger::{Donation, Ledger, Refund};
use crate::money::Currency;
use crate::pledge::{Pledge, Pledges};
use crate::state::{Campaign, Donations};
use crate::subscription::Subscriptions;

/// The state of 0.2.0, field for field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Old {
    /// `None` until it is opened.
    pub campaign: Option<OldCampaign>,
}

/// An open campaign of 0.2.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldCampaign {
    /// What people see.
    pub title: String,
    /// The currency that `total` counts.
    pub currency: Currency,
    /// In that currency.
    pub goal: Decimal,
    /// Every donation there ever was, in the order of the receipts.
    pub ledger: Vec<OldDonation>,
    /// Everything that was spent, oldest first.
    pub allocations: Vec<Allocation>,
    /// What these two add up to.
    pub books: Books,
}

/// A donation of 0.2.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldDonation {
    /// The giver's own name for it, unique in the campaign.
    pub donation_id: String,
    /// Nobody's name is `None`.
    pub donor: Option<String>,
    /// With the currency's minor digits.
    pub amount: Decimal,
    /// Any currency.
    pub currency: Currency,
    /// What it is for.
    pub fund: Fund,
    /// Whose zakat it pays, if anyone's.
    pub payer: Option<String>,
    /// The campaign's total when the gift was taken.
    pub total: Decimal,
    /// The campaign's count then.
    pub count: u64,
    /// That it was given back.
    pub refund: Option<Refund>,
}

/// What 0.2.0 cannot say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// By donation id, the pledge that a gift fulfils, if it fulfils one.
    pub gifts: BTreeMap<String, String>,
    /// What was promised, by pledge id.
    pub pledges: BTreeMap<String, Pledge>,
    /// Recurring gifts, by subscription id.
    pub subscriptions: Subscriptions,
}

/// [`host_sdk::Migrate::up`].
pub(crate) fn up(old: Old, carry: Option<Carry>) -> Result<Donations, MigrationError> {
    let mut carry = carry.unwrap_or_default();
    let Some(old) = old.campaign else {
        if carry == Carry::default() {
            return Ok(Donations::default());
        }
        return Err(contradiction(
            "the carry has pledges or subscriptions of a campaign that was never opened",
        ));
    };
    let donations = old.ledger.into_iter().map(|donation| {
        let pledge_id = carry.gifts.remove(&donation.donation_id);
        donation.fulfilling(pledge_id)
    });
    let ledger = Ledger::from(donations.collect::<Vec<_>>());
    if let Some(donation_id) = carry.gifts.keys().next() {
        return Err(contradiction(format!(
            "the carry has donation {donation_id:?}, the state has not"
        )));
    }
    let campaign = Campaign {
        title: old.title,
        currency: old.currency,
        goal: old.goal,
        pledges: Pledges::rebuilt(carry.pledges, &ledger),
        ledger,
        allocations: old.allocations,
        books: old.books,
        subscriptions: carry.subscriptions,
    };
    check::check_content(&campaign).map_err(|e| contradiction(e.to_string()))?;
    Ok(Donations {
        campaign: Some(campaign),
    })
}

/// [`host_sdk::Migrate::down`].
pub(crate) fn down(state: &Donations) -> Migrated<Old, Carry> {
    let Some(campaign) = &state.campaign else {
        return Migrated {
            old: Old::default(),
            carry: Carry::default(),
        };
    };
    let donations = || campaign.ledger.iter().map(|(_, donation)| donation);
    let gifts = donations().filter_map(|donation| {
        let pledge_id = donation.pledge_id.clone()?;
        Some((donation.donation_id.clone(), pledge_id))
    });
    Migrated {
        old: Old {
            campaign: Some(OldCampaign {
                title: campaign.title.clone(),
                currency: campaign.currency,
                goal: campaign.goal,
                ledger: donations().map(OldDonation::of).collect(),
                allocations: campaign.allocations.clone(),
                books: campaign.books.clone(),
            }),
        },
        carry: Carry {
            gifts: gifts.collect(),
            pledges: campaign.pledges.all().clone(),
            subscriptions: campaign.subscriptions.clone(),
        },
    }
}

impl OldDonation {
    fn of(donation: &Donation) -> Self {
        Self {
            donation_id: donation.donation_id.clone(),
            donor: donation.donor.clone(),
            amount: donation.amount,
            currency: donation.currency,
            fund: donation.fund,
            payer: donation.payer.clone(),
            total: donation.total,
            count: donation.count,
            refund: donation.refund.clone(),
        }
    }

    fn fulfilling(self, pledge_id: Option<String>) -> Donation {
        Donation {
            donation_id: self.donation_id,
            donor: self.donor,
            amount: self.amount,
            currency: self.currency,
            fund: self.fund,
            payer: self.payer,
            pledge_id,
            total: self.total,
            count: self.count,
            refund: self.refund,
        }
    }
}

/// 0.2.0 forgets no donation and reopens nothing. So a state and a carry that
/// contradict each other do not belong together, and it is better to stay on 0.2.0
/// than to take a gift twice.
fn contradiction(found: impl Into<String>) -> MigrationError {
    MigrationError::new(found)
}
