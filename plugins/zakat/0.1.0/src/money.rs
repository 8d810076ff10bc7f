//! Money, weights and rates: decimals from text, exact fractions in between,
//! decimals again at the end.
//!
//! All arithmetic is on fractions of unbounded integers, so nothing overflows
//! and nothing is lost on the way: 92.73 g of 22 karat are 85.0025 g of gold and
//! not nearly so. The one rounding is [`round`].

use std::cmp::Ordering;

use host_sdk::Rejection;
use num_rational::BigRational;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An exact number on its way from what was declared to what is answered.
pub(crate) type Fraction = BigRational;

/// Every figure is below this: amounts, grams, prices, rates.
pub(crate) const FIGURE_LIMIT: i64 = 1_000_000_000_000_000_000;
/// Most digits behind the point of a figure that is no money. Exchange rates
/// are quoted with up to ten.
pub(crate) const SCALE_MAX: u32 = 12;

/// A currency of ISO 4217 that has a minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The currency with this code, in capitals.
    ///
    /// # Errors
    ///
    /// `bad_currency` for a code that is unknown, or that has no minor unit to
    /// round to (XAU, XXX).
    pub fn parse(code: &str) -> Result<Self, Rejection> {
        let refuse = |why: &str| {
            let shown: String = code.chars().take(8).collect();
            Err(Rejection::new("bad_currency", format!("{shown:?} {why}")))
        };
        match iso_currency::Currency::from_code(code) {
            None => refuse("is no currency of ISO 4217, such as \"USD\""),
            Some(currency) if currency.exponent().is_none() => {
                refuse("has no minor unit to round to")
            }
            Some(currency) => Ok(Self(currency)),
        }
    }

    /// The code: `USD`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl TryFrom<String> for Currency {
    type Error = Rejection;
    fn try_from(code: String) -> Result<Self, Rejection> {
        Self::parse(&code)
    }
}

impl From<Currency> for &'static str {
    fn from(currency: Currency) -> Self {
        currency.code()
    }
}

/// An amount above zero, in whole minor units of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Written with exactly the currency's minor digits: `7000.60`.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: Currency,
}

impl Money {
    /// An amount as it came in.
    ///
    /// # Errors
    ///
    /// `bad_currency`, or `bad_amount` unless it is a plain decimal above 0 and
    /// below 10^18 with at most the currency's minor digits.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, Rejection> {
        let currency = Currency::parse(currency)?;
        let mut parsed = figure("amount", amount)?;
        if parsed.scale() > currency.digits() {
            return Err(bad(
                "amount",
                amount,
                &format!(
                    "{} has {} digits behind the point",
                    currency.code(),
                    currency.digits()
                ),
            ));
        }
        parsed.rescale(currency.digits());
        Ok(Self {
            amount: parsed,
            currency,
        })
    }
}

/// A figure above 0 and below [`FIGURE_LIMIT`], from text such as `92.73`.
///
/// # Errors
///
/// `bad_amount`, naming the figure as `what`.
pub(crate) fn figure(what: &str, text: &str) -> Result<Decimal, Rejection> {
    let mut halves = text.splitn(2, '.');
    let digits = |half: &str| {
        (1..=20).contains(&half.len()) && half.bytes().all(|byte| byte.is_ascii_digit())
    };
    let plain = halves.next().is_some_and(digits) && halves.next().is_none_or(digits);
    let value = plain
        .then(|| Decimal::from_str_exact(text).ok())
        .flatten()
        .ok_or_else(|| bad(what, text, "is no plain decimal such as \"92.73\""))?;
    if value <= Decimal::ZERO {
        Err(bad(what, text, "is not above zero"))
    } else if value >= Decimal::from(FIGURE_LIMIT) {
        Err(bad(what, text, "is not below 10^18"))
    } else if value.scale() > SCALE_MAX {
        Err(bad(what, text, "has more than 12 digits behind the point"))
    } else {
        Ok(value)
    }
}

/// The refusal of a figure; shows what was found, cut to a readable length.
pub(crate) fn bad(what: &str, found: &str, why: &str) -> Rejection {
    let shown: String = found.chars().take(40).collect();
    Rejection::new("bad_amount", format!("{what} {shown:?}: {why}"))
}

/// A decimal as a fraction.
pub(crate) fn exact(value: Decimal) -> Fraction {
    // A Decimal has at most 28 digits behind the point, and 10^28 is an i128.
    Fraction::new(value.mantissa().into(), 10_i128.pow(value.scale()).into())
}

/// `numerator / denominator`, for the rates that the rules name.
pub(crate) fn ratio(numerator: i64, denominator: i64) -> Fraction {
    Fraction::new(numerator.into(), denominator.into())
}

/// Nothing.
pub(crate) fn zero() -> Fraction {
    ratio(0, 1)
}

/// To the currency's minor unit, half to even.
///
/// # Errors
///
/// `bad_amount` where the result has more digits than a decimal holds (28).
pub(crate) fn round(value: &Fraction, currency: Currency) -> Result<Decimal, Rejection> {
    let digits = currency.digits();
    let units = value * ratio(10_i64.pow(digits), 1);
    let below = units.floor();
    let rest = &units - &below;
    i128::try_from(below.to_integer())
        .ok()
        .and_then(|below| {
            let up = match rest.cmp(&ratio(1, 2)) {
                Ordering::Less => false,
                Ordering::Greater => true,
                Ordering::Equal => below % 2 != 0,
            };
            Decimal::try_from_i128_with_scale(below.checked_add(i128::from(up))?, digits).ok()
        })
        .ok_or_else(|| {
            Rejection::new(
                "bad_amount",
                "the figures are so large that their result does not fit 28 digits",
            )
        })
}
