//! Currencies and amounts.
//!
//! Every version of the plugin has this file of its own: a released version
//! never changes, so what two of them share must not change either.

use std::borrow::Cow;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::{AMOUNT_BELOW_POWER_OF_TEN, AMOUNT_BYTES_MAX, SUM_BELOW_POWER_OF_TEN};

/// An ISO 4217 currency that has a minor unit (if only one of zero digits).
/// In JSON and in states its three-letter code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "&'static str")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The currency of a code, as `USD`.
    ///
    /// # Errors
    ///
    /// `bad_currency` for what is no code, or has no minor unit: gold, test
    /// codes, units of account.
    pub fn parse(code: &str) -> Result<Self, Rejection> {
        let known = iso_currency::Currency::from_code(code).ok_or_else(|| {
            // What a client sent is shown in part only: it can be of any length.
            let shown: String = code.chars().take(8).collect();
            Rejection::new(
                "bad_currency",
                format!("{shown:?} is no ISO 4217 code; one is three capital letters, as USD"),
            )
        })?;
        match known.exponent() {
            Some(_) => Ok(Self(known)),
            None => Err(Rejection::new(
                "bad_currency",
                format!("{code} has no minor unit, so it is not money that can be given here"),
            )),
        }
    }

    /// Its ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimal digits of its minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn minor_digits(self) -> u32 {
        let digits = self.0.exponent();
        u32::from(digits.expect("`parse` lets in only what has a minor unit"))
    }

    /// Nothing, with the minor digits of this currency.
    #[must_use]
    pub fn zero(self) -> Decimal {
        Decimal::new(0, self.minor_digits())
    }

    /// An amount in this currency from its text, as `100` or `100.00`; it keeps
    /// the currency's minor digits from here on, so equal amounts look equal.
    ///
    /// Only digits and one point will do. Too many digits are refused even if
    /// they are zeros: `10.000` may be someone's way to write ten thousand.
    ///
    /// # Errors
    ///
    /// `bad_amount`
    pub fn amount(self, text: &str) -> Result<Decimal, Rejection> {
        self.read(text).map_err(|found| {
            Rejection::new(
                "bad_amount",
                format!(
                    "{found}; an amount in {} is above 0, below 10^{AMOUNT_BELOW_POWER_OF_TEN}, \
                     and has at most {} decimal digits after a point",
                    self.code(),
                    self.minor_digits()
                ),
            )
        })
    }

    fn read(self, text: &str) -> Result<Decimal, String> {
        if text.len() > AMOUNT_BYTES_MAX {
            return Err(format!("the amount has {} characters", text.len()));
        }
        let (whole, minor) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(minor) {
            return Err(format!("{text:?} is no decimal number"));
        }
        let mut amount =
            Decimal::from_str_exact(text).map_err(|e| format!("{text:?} cannot be read: {e}"))?;
        if amount.is_zero() {
            return Err(format!("{text:?} is nothing"));
        }
        if amount.scale() > self.minor_digits() {
            return Err(format!(
                "{text:?} has {} digits after the point",
                amount.scale()
            ));
        }
        if amount >= power_of_ten(AMOUNT_BELOW_POWER_OF_TEN) {
            return Err(format!("{text:?} is too large"));
        }
        amount.rescale(self.minor_digits());
        Ok(amount)
    }
}

impl From<Currency> for &'static str {
    fn from(currency: Currency) -> Self {
        currency.code()
    }
}

impl TryFrom<Cow<'_, str>> for Currency {
    type Error = Rejection;

    fn try_from(code: Cow<'_, str>) -> Result<Self, Rejection> {
        Self::parse(&code)
    }
}

/// The sum of two amounts of one currency.
///
/// # Errors
///
/// `bad_amount` where the sum would be larger than a campaign can hold.
pub(crate) fn add(sum: Decimal, amount: Decimal) -> Result<Decimal, Rejection> {
    sum.checked_add(amount)
        .filter(|sum| *sum < power_of_ten(SUM_BELOW_POWER_OF_TEN))
        .ok_or_else(|| {
            Rejection::new(
                "bad_amount",
                format!(
                    "{amount} on top of {sum} is too large; \
                     a sum stays below 10^{SUM_BELOW_POWER_OF_TEN}"
                ),
            )
        })
}

fn power_of_ten(power: u32) -> Decimal {
    Decimal::from_i128_with_scale(10_i128.pow(power), 0)
}
