//! The name that a wrong one may have meant.

/// Letters of a name at least that another one but for a letter is a slip of: of shorter ones
/// that are words themselves, too many are.
pub const SLIP_LETTERS_MIN: usize = 6;

/// The one of `known` that is nearest to `found`, if no more than a third of its letters
/// are wrong.
///
/// ```
/// use host_model::suggest::nearest;
///
/// assert_eq!(nearest("PROT", ["PORT", "HOST"]), Some("PORT"));
/// assert_eq!(nearest("COLOUR", ["PORT", "HOST"]), None);
/// ```
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .min();
    near.filter(|(distance, name)| distance * 3 <= name.len().max(found.len()))
        .map(|(_, name)| name)
}

/// The one of `known` that `found` is but for one letter, where it has [`SLIP_LETTERS_MIN`] of
/// them: for places in which most names are meant for others.
///
/// ```
/// use host_model::suggest::slip;
///
/// assert_eq!(slip("TRUSTED_KEY", ["PORT", "TRUSTED_KEYS"]), Some("TRUSTED_KEYS"));
/// assert_eq!(slip("SSL_CERT_DIR", ["SSL_CERT_FILE"]), None);
/// assert_eq!(slip("POST", ["PORT"]), None);
/// ```
pub fn slip<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_slip = |name: &str| strsim::damerau_levenshtein(found, name) <= 1;
    let known = known.into_iter();
    known
        .filter(|name| name.len() >= SLIP_LETTERS_MIN)
        .find(|name| is_slip(name))
}
