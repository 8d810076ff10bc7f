//! Crops and rikaz: owed once, without a year, apart from wealth.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::market::Market;
use crate::money::{Fraction, exact, ratio, round, zero};
use crate::{Day, Harvest, Watering, Zakat};

/// Five wasq, in kilograms, as most published rules weigh them.
const CROP_NISAB_KG: i64 = 653;
/// Two harvests of a crop no further apart than this are one season. Longer than
/// the harvest of one field goes on, shorter than the time from one sowing to
/// the harvest of the next.
const SEASON_GAP_DAYS: i32 = 90;

/// The period that an assessment is about: after `since`, up to `until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) since: Day,
    pub(crate) until: Day,
}

impl Period {
    pub(crate) fn has(self, day: Day) -> bool {
        self.since < day && day <= self.until
    }
}

/// One harvest's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CropShare {
    /// As it was stated.
    pub crop_id: String,
    /// As it was stated.
    pub crop: String,
    /// The rate if the season met the nisab: `0.1`.
    pub rate: Decimal,
    /// Whether it did.
    pub counts: bool,
    /// Of the harvest, in the answer's currency.
    pub value: Decimal,
    /// In the answer's currency.
    pub due: Decimal,
}

/// One find's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindShare {
    /// As it was stated.
    pub find_id: String,
    /// In the answer's currency.
    pub value: Decimal,
    /// In the answer's currency.
    pub due: Decimal,
}

/// What is due of the period's harvests, in all and one by one.
pub(crate) fn crops(
    zakat: &Zakat,
    market: &Market<'_>,
    period: Period,
) -> Result<(Fraction, Vec<CropShare>), Rejection> {
    let nisab = Decimal::from(CROP_NISAB_KG);
    let seasons = seasons(zakat, period.until);
    let (mut total, mut shares) = (zero(), Vec::new());
    for (crop_id, harvest) in &zakat.harvests {
        if !period.has(harvest.harvested_on) {
            continue;
        }
        let counts = seasons
            .get(crop_id.as_str())
            .is_some_and(|season_kg| *season_kg >= nisab);
        let rate = harvest.watering.rate();
        let value = market.convert(
            &(exact(harvest.kg) * exact(harvest.price_per_kg)),
            harvest.currency,
        )?;
        let due = if counts { &value * exact(rate) } else { zero() };
        shares.push(CropShare {
            crop_id: crop_id.clone(),
            crop: harvest.crop.clone(),
            rate,
            counts,
            value: round(&value, market.currency)?,
            due: round(&due, market.currency)?,
        });
        total += due;
    }
    Ok((total, shares))
}

/// What is due of the period's finds, in all and one by one.
pub(crate) fn rikaz(
    zakat: &Zakat,
    market: &Market<'_>,
    period: Period,
) -> Result<(Fraction, Vec<FindShare>), Rejection> {
    let (mut total, mut shares) = (zero(), Vec::new());
    for (find_id, find) in &zakat.finds {
        if !period.has(find.found_on) {
            continue;
        }
        let value = market.money(&find.money)?;
        let due = &value * ratio(1, 5);
        shares.push(FindShare {
            find_id: find_id.clone(),
            value: round(&value, market.currency)?,
            due: round(&due, market.currency)?,
        });
        total += due;
    }
    Ok((total, shares))
}

impl Watering {
    fn rate(self) -> Decimal {
        match self {
            Self::Rain => Decimal::new(10, 2),
            Self::Irrigated => Decimal::new(5, 2),
            Self::Mixed => Decimal::new(75, 3),
        }
    }
}

/// For each harvest up to `until`, the weight of its crop's season. A season is
/// whole even where the period has only the end of it.
fn seasons(zakat: &Zakat, until: Day) -> BTreeMap<&str, Decimal> {
    let mut by_crop: BTreeMap<&str, Vec<(&str, &Harvest)>> = BTreeMap::new();
    for (crop_id, harvest) in &zakat.harvests {
        if harvest.harvested_on <= until {
            let harvests = by_crop.entry(&harvest.crop).or_default();
            harvests.push((crop_id, harvest));
        }
    }
    let mut seasons = BTreeMap::new();
    for harvests in by_crop.values_mut() {
        harvests.sort_by_key(|(_, harvest)| harvest.harvested_on);
        let same_season = |a: &(_, &Harvest), b: &(_, &Harvest)| {
            b.1.harvested_on.days_since(a.1.harvested_on) <= SEASON_GAP_DAYS
        };
        for season in harvests.chunk_by(same_season) {
            // Saturation is far above any nisab, so it changes no answer.
            let kg = season.iter().fold(Decimal::ZERO, |sum, (_, harvest)| {
                sum.saturating_add(harvest.kg)
            });
            seasons.extend(season.iter().map(|(crop_id, _)| (*crop_id, kg)));
        }
    }
    seasons
}
