//! The three purposes that gifts are kept apart for.

use host_sdk::Rejection;
use serde::{Deserialize, Serialize};

use crate::limits::CATEGORY_BYTES_MAX;
use crate::text;

/// What a gift is for. Nothing moves money from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fund {
    /// The yearly due, for eight kinds of recipients.
    Zakat,
    /// A free gift, for any good purpose.
    #[default]
    Sadaqah,
    /// An endowment: its corpus is kept, so nothing is allocated from it.
    Waqf,
}

impl Fund {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Zakat, Self::Sadaqah, Self::Waqf];

    /// Whom zakat may go to: the eight of Quran 9:60.
    pub const ZAKAT_CATEGORIES: [&str; 8] = [
        "fuqara",
        "masakin",
        "amilin",
        "muallafah",
        "riqab",
        "gharimin",
        "fi_sabilillah",
        "ibn_al_sabil",
    ];

    /// A fund by its name; sadaqah where none is named.
    ///
    /// # Errors
    ///
    /// `bad_fund`
    pub fn parse(name: Option<&str>) -> Result<Self, Rejection> {
        let Some(name) = name else {
            return Ok(Self::default());
        };
        let found = Self::ALL.into_iter().find(|fund| fund.name() == name);
        found.ok_or_else(|| Rejection::new("bad_fund", "a fund is one of: zakat, sadaqah, waqf"))
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zakat => "zakat",
            Self::Sadaqah => "sadaqah",
            Self::Waqf => "waqf",
        }
    }

    /// A category, if money of this fund may go there.
    ///
    /// # Errors
    ///
    /// `waqf_corpus`, whatever the category; `bad_category`; `bad_payload` for
    /// what is no proper text.
    pub fn category(self, category: String) -> Result<String, Rejection> {
        match self {
            Self::Waqf => Err(Rejection::new(
                "waqf_corpus",
                "the corpus of a waqf is kept; nothing is allocated from it",
            )),
            Self::Zakat if !is_zakat_category(&category) => Err(Rejection::new(
                "bad_category",
                format!(
                    "zakat goes to one of: {}",
                    Self::ZAKAT_CATEGORIES.join(", ")
                ),
            )),
            Self::Zakat | Self::Sadaqah => text::checked("category", category, CATEGORY_BYTES_MAX),
        }
    }

    /// Whether [`Fund::category`] would let it pass.
    pub(crate) fn allows(self, category: &str) -> bool {
        match self {
            Self::Waqf => false,
            Self::Zakat => is_zakat_category(category),
            Self::Sadaqah => true,
        }
    }
}

fn is_zakat_category(category: &str) -> bool {
    Fund::ZAKAT_CATEGORIES.contains(&category)
}
