//! The name that a wrong one may have meant.

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
