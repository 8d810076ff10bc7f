//! All donations, in the order of their receipts.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::DONATIONS_MAX;
use crate::money::Currency;

/// A gift, and what its first receipt said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Donation {
    /// The giver's own name for it, unique in the campaign.
    pub donation_id: String,
    /// Nobody's name is `None`.
    pub donor: Option<String>,
    /// With the currency's minor digits.
    pub amount: Decimal,
    /// The campaign's; after a way back from a later version, any.
    pub currency: Currency,
    /// The campaign's total when the gift was taken, this one included.
    pub total: Decimal,
    /// The campaign's count then.
    pub count: u64,
    /// Whether a later version gave it back. Its id stays taken.
    pub refunded: bool,
}

impl Donation {
    /// The name to show.
    #[must_use]
    pub fn shown_donor(&self) -> &str {
        self.donor.as_deref().unwrap_or("anonymous")
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

    /// Whether a new gift has no place left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.donations.len() >= DONATIONS_MAX
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
