//! How much of everything there may be.

/// Longest `donation_id`, in bytes: room for any UUID, ULID or order number.
pub(crate) const DONATION_ID_BYTES_MAX: usize = 128;
/// Longest name of a donor, in bytes.
pub(crate) const DONOR_BYTES_MAX: usize = 256;
/// Longest title of a campaign, in bytes.
pub(crate) const TITLE_BYTES_MAX: usize = 256;
/// Longest amount as text, in bytes: 18 digits, a point and 4 more fit well.
pub(crate) const AMOUNT_BYTES_MAX: usize = 32;
/// An amount stays below 10 to this power, in the currency's major unit.
pub(crate) const AMOUNT_BELOW_POWER_OF_TEN: u32 = 18;
/// A sum stays below 10 to this power. With four minor digits, the most that
/// ISO 4217 has, a `Decimal` holds 7.9 times 10 to the 24th.
pub(crate) const SUM_BELOW_POWER_OF_TEN: u32 = 21;
/// How many donations `summary` lists.
pub(crate) const RECENT_MAX: usize = 10;
/// Longest key of a payer's zakat actor, in bytes.
pub(crate) const PAYER_BYTES_MAX: usize = 128;
/// Longest reason of a refund, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Longest category of an allocation, in bytes.
pub(crate) const CATEGORY_BYTES_MAX: usize = 128;
/// How many donations a campaign has: about 130 bytes each in a snapshot, and
/// 2 µs to read. A test fills a smaller campaign.
pub(crate) const DONATIONS_MAX: usize = if cfg!(test) { 2_000 } else { 1_000_000 };
/// How many allocations a campaign has: a hundred a day for a year and more.
pub(crate) const ALLOCATIONS_MAX: usize = if cfg!(test) { 2_000 } else { 50_000 };
/// How many pledges a campaign has, whatever became of them: `summary` adds them up.
pub(crate) const PLEDGES_MAX: usize = if cfg!(test) { 100 } else { 10_000 };
/// How many subscriptions a campaign has, whatever became of them: so many timers may
/// come due at one midnight.
pub(crate) const SUBSCRIPTIONS_MAX: usize = if cfg!(test) { 100 } else { 10_000 };
/// Longest `pledge_id`, in bytes.
pub(crate) const PLEDGE_ID_BYTES_MAX: usize = 128;
/// Longest `subscription_id`, in bytes: with `/` and a number behind it, it is a
/// `donation_id`.
pub(crate) const SUBSCRIPTION_ID_BYTES_MAX: usize = 100;
/// How many days before today a subscription may begin: a year. What came due since
/// then is made up for at once: 367 gifts at most, for one that comes round each day.
pub(crate) const MAKE_UP_DAYS_MAX: i32 = 366;
