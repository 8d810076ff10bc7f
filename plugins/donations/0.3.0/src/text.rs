//! Texts that clients send.

use host_sdk::Rejection;

/// The text of a field, if it has 1 to `bytes_max` bytes and no control characters.
///
/// # Errors
///
/// `bad_payload`
pub(crate) fn checked(field: &str, text: String, bytes_max: usize) -> Result<String, Rejection> {
    let found = match text.len() {
        0 => "is empty".to_owned(),
        bytes if bytes > bytes_max => format!("has {bytes} bytes"),
        _ if text.contains(char::is_control) => "has control characters".to_owned(),
        _ => return Ok(text),
    };
    Err(Rejection::new(
        "bad_payload",
        format!("{field} {found}; it has 1 to {bytes_max} bytes and no control characters"),
    ))
}

/// The same for a text that may be left out. A form that was not filled in
/// sends blanks, which say no more than nothing does.
///
/// # Errors
///
/// `bad_payload`
pub(crate) fn optional(
    field: &str,
    text: Option<String>,
    bytes_max: usize,
) -> Result<Option<String>, Rejection> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| checked(field, text, bytes_max))
        .transpose()
}

/// The second half of an actor's id: as [`checked`], and without spaces.
///
/// # Errors
///
/// `bad_payload`
pub(crate) fn actor_key(field: &str, key: String, bytes_max: usize) -> Result<String, Rejection> {
    let key = checked(field, key, bytes_max)?;
    if key.contains(char::is_whitespace) {
        return Err(Rejection::new(
            "bad_payload",
            format!("{field} {key:?} has spaces; it is an actor's key, as ali"),
        ));
    }
    Ok(key)
}
