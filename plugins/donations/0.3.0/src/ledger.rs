//! All donations, in the order of their receipts.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use crate::fund::Fund;
use crate::limits::DONATIONS_MAX;
use crate::money::Currency;
use crate::subscription;

/// A gift, what its first receipt said, and whether it was given back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Donation {
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
    /// The pledge that it fulfils, or a part of it.
    pub pledge_id: Option<String>,
    /// The campaign's total when the gift was taken.
    pub total: Decimal,
    /// The campaign's count then.
    pub count: u64,
    /// That it was given back. Its id stays taken.
    pub refund: Option<Refund>,
}

/// That a gift was given back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// Why.
    pub reason: String,
}

impl Donation {
    /// The name to show.
    #[must_use]
    pub fn shown_donor(&self) -> &str {
        self.donor.as_deref().unwrap_or("anonymous")
    }

    /// The zakat actor that has this gift as a payment, if one has.
    pub(crate) fn zakat_actor(&self) -> Option<String> {
        zakat_actor(self.fund, self.payer.as_deref())
    }
}

/// The zakat actor that a gift pays for, if it pays for one.
pub(crate) fn zakat_actor(fund: Fund, payer: Option<&str>) -> Option<String> {
    match (fund, payer) {
        (Fund::Zakat, Some(payer)) => Some(format!("zakat:{payer}")),
        _ => None,
    }
}

/// Donations by receipt number, which is a donation's place, from 1. So numbers
/// cannot repeat or leave gaps, whichever version took the gifts.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(from = "Vec<Donation>")]
pub struct Ledger {
    donations: Vec<Donation>,
    /// Places by donation id: no part of the encoding, for it follows from it.
    places: BTreeMap<String, usize>,
}

impl Ledger {
    /// Number of the next receipt.
    #[must_use]
    pub fn next_receipt_no(&self) -> u64 {
        receipt_no(self.donations.len())
    }

    /// A donation and the number of its receipt.
    #[must_use]
    pub fn get(&self, donation_id: &str) -> Option<(u64, &Donation)> {
        let place = *self.places.get(donation_id)?;
        Some((receipt_no(place), self.donations.get(place)?))
    }

    /// All donations with their receipts' numbers, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Donation)> {
        let numbered = self.donations.iter().enumerate();
        numbered.map(|(place, donation)| (receipt_no(place), donation))
    }

    /// Writes a donation under the next receipt number.
    pub fn push(&mut self, donation: Donation) {
        self.places
            .insert(donation.donation_id.clone(), self.donations.len());
        self.donations.push(donation);
    }

    /// Marks a donation as given back, and shows it. `None` if there is none, or
    /// it was given back before.
    pub fn refund(&mut self, donation_id: &str, refund: Refund) -> Option<&Donation> {
        let place = *self.places.get(donation_id)?;
        let donation = self.donations.get_mut(place)?;
        if donation.refund.is_some() {
            return None;
        }
        donation.refund = Some(refund);
        Some(donation)
    }

    /// Notes which pledge a donation fulfils, and shows it. `None` if there is none.
    pub fn fulfil(&mut self, donation_id: &str, pledge_id: String) -> Option<&Donation> {
        let place = *self.places.get(donation_id)?;
        let donation = self.donations.get_mut(place)?;
        donation.pledge_id = Some(pledge_id);
        Some(donation)
    }

    /// Whether a donation has an id that a subscription's gift would have.
    #[must_use]
    pub fn has_gifts_of(&self, subscription_id: &str) -> bool {
        let prefix = subscription::donation_id_prefix(subscription_id);
        let with_prefix = self.places.range::<str, _>((Included(&*prefix), Unbounded));
        with_prefix
            .take_while(|(donation_id, _)| donation_id.starts_with(&prefix))
            .any(|(donation_id, _)| {
                subscription::of_donation_id(donation_id) == Some(subscription_id)
            })
    }

    /// How many more donations there may be.
    #[must_use]
    pub fn room(&self) -> usize {
        DONATIONS_MAX.saturating_sub(self.donations.len())
    }

    /// Whether no donation id is there twice.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.places.len() == self.donations.len()
    }
}

fn receipt_no(place: usize) -> u64 {
    place as u64 + 1
}

impl From<Vec<Donation>> for Ledger {
    fn from(donations: Vec<Donation>) -> Self {
        let places = donations.iter().enumerate();
        Self {
            places: places
                .map(|(place, d)| (d.donation_id.clone(), place))
                .collect(),
            donations,
        }
    }
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.donations.serialize(serializer)
    }
}
