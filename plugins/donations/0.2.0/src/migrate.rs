//! How a campaign moves between 0.1.0 and this version.
//!
//! 0.1.0 can say of every donation, also of those that it did not take itself:
//! its id, donor, amount, currency, receipt, and whether it was given back. It
//! cannot say what a donation is for, whose zakat it pays, why it was given
//! back, nor what was spent. That, and no more, is the carry: so the two never
//! say the same thing, and sums travel in neither, they are added up again.
//!
//! A donation that the carry does not name is sadaqah, whether it was taken
//! before the first `up`, after it, or by 0.1.0 in the meantime. Therefore
//! `changed` makes no difference here.

use std::collections::BTreeMap;

use host_sdk::{Migrated, MigrationError};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::{Allocation, Books};
use crate::check;
use crate::fund::Fund;
use crate::ledger::{Donation, Ledger, Refund};
use crate::money::Currency;
use crate::state::{Campaign, Donations};

/// The state of 0.1.0, field for field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Old {
    /// `None` until it is opened.
    pub campaign: Option<OldCampaign>,
}

/// An open campaign of 0.1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldCampaign {
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
    /// Every donation there ever was, in the order of the receipts.
    pub ledger: Vec<OldDonation>,
}

/// A donation of 0.1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldDonation {
    /// The giver's own name for it, unique in the campaign.
    pub donation_id: String,
    /// Nobody's name is `None`.
    pub donor: Option<String>,
    /// With the currency's minor digits.
    pub amount: Decimal,
    /// Any currency, though 0.1.0 itself takes the campaign's only.
    pub currency: Currency,
    /// The campaign's total when it was taken.
    pub total: Decimal,
    /// The campaign's count then.
    pub count: u64,
    /// Whether it was given back, which 0.1.0 itself does not do.
    pub refunded: bool,
}

/// What 0.1.0 cannot say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// By donation id, those that are more than sadaqah that was kept.
    pub gifts: BTreeMap<String, CarriedGift>,
    /// Everything that was spent, oldest first.
    pub allocations: Vec<Allocation>,
}

/// What 0.1.0 cannot say of one donation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CarriedGift {
    /// What it is for.
    pub fund: Fund,
    /// Whose zakat it pays, if anyone's.
    pub payer: Option<String>,
    /// Why it was given back, if it was.
    pub refund: Option<Refund>,
}

/// [`host_sdk::Migrate::up`].
pub(crate) fn up(old: Old, carry: Option<Carry>) -> Result<Donations, MigrationError> {
    let Some(old) = old.campaign else {
        return match carry {
            Some(carry) if carry != Carry::default() => Err(contradiction(
                "the carry has gifts or allocations of a campaign that was never opened",
            )),
            _ => Ok(Donations::default()),
        };
    };
    // 0.1.0 alone takes one currency and gives nothing back: whatever else is in
    // its state came from this version, and without the carry nobody knows the
    // fund. To guess could turn zakat into sadaqah.
    if carry.is_none()
        && let Some(donation) = old.ledger.iter().find(|d| old.is_foreign(d))
    {
        return Err(contradiction(format!(
            "donation {:?} was taken or given back by {}, and its carry is missing",
            donation.donation_id,
            env!("CARGO_PKG_VERSION")
        )));
    }
    let mut carry = carry.unwrap_or_default();
    let (total, count) = (old.total, old.count);
    // Not collected: how many there are is not known to who may stop at an error.
    let mut donations = Vec::with_capacity(old.ledger.len());
    for donation in old.ledger {
        let gift = carry.gifts.remove(&donation.donation_id);
        donations.push(joined(donation, gift.unwrap_or_default())?);
    }
    let ledger = Ledger::from(donations);
    if let Some(donation_id) = carry.gifts.keys().next() {
        return Err(contradiction(format!(
            "the carry has donation {donation_id:?}, the state has not"
        )));
    }
    let books = Books::rebuilt(old.currency, &ledger, &carry.allocations);
    if (books.total, books.count) != (total, count) {
        return Err(contradiction(format!(
            "the state has a total of {total} and a count of {count}, \
             and its donations add up to {} and {}",
            books.total, books.count
        )));
    }
    let campaign = Campaign {
        title: old.title,
        currency: old.currency,
        goal: old.goal,
        ledger,
        allocations: carry.allocations,
        books,
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
    let old = OldCampaign {
        title: campaign.title.clone(),
        currency: campaign.currency,
        goal: campaign.goal,
        total: campaign.books.total,
        count: campaign.books.count,
        ledger: donations().map(OldDonation::of).collect(),
    };
    let gifts = donations().filter_map(|donation| {
        let gift = CarriedGift::of(donation);
        (gift != CarriedGift::default()).then(|| (donation.donation_id.clone(), gift))
    });
    Migrated {
        old: Old {
            campaign: Some(old),
        },
        carry: Carry {
            gifts: gifts.collect(),
            allocations: campaign.allocations.clone(),
        },
    }
}

impl OldCampaign {
    /// Whether 0.1.0 can have neither taken nor marked this donation.
    fn is_foreign(&self, donation: &OldDonation) -> bool {
        donation.refunded || donation.currency != self.currency
    }
}

impl OldDonation {
    fn of(donation: &Donation) -> Self {
        Self {
            donation_id: donation.donation_id.clone(),
            donor: donation.donor.clone(),
            amount: donation.amount,
            currency: donation.currency,
            total: donation.total,
            count: donation.count,
            refunded: donation.refund.is_some(),
        }
    }
}

impl CarriedGift {
    fn of(donation: &Donation) -> Self {
        Self {
            fund: donation.fund,
            payer: donation.payer.clone(),
            refund: donation.refund.clone(),
        }
    }
}

fn joined(old: OldDonation, gift: CarriedGift) -> Result<Donation, MigrationError> {
    if old.refunded != gift.refund.is_some() {
        return Err(contradiction(format!(
            "donation {:?} was given back in one of the state and the carry, not in both",
            old.donation_id
        )));
    }
    Ok(Donation {
        donation_id: old.donation_id,
        donor: old.donor,
        amount: old.amount,
        currency: old.currency,
        fund: gift.fund,
        payer: gift.payer,
        total: old.total,
        count: old.count,
        refund: gift.refund,
    })
}

/// 0.1.0 forgets no donation, gives none back and reopens nothing. So a state
/// and a carry that contradict each other do not belong together, and it is
/// better to stay on 0.1.0 than to move money between funds.
fn contradiction(found: impl Into<String>) -> MigrationError {
    MigrationError::new(found)
}
