//! Errors as a log line or an operator's message has them.

/// An error with what caused it, in one line: no message repeats its source.
///
/// ```
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(host_model::error::chain(&error), "the disk is full");
/// ```
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
