//! What this copy of the library is told to do.

/// How long the whole text is.
const LEN: usize = 32;

/// What comes before the name of the behaviour.
const PREFIX: &str = "BEHAVIOUR=";

/// Overwritten in a copy of the file: `BEHAVIOUR=`, a name, and spaces up to 32 bytes.
#[used]
static BEHAVIOUR: [u8; LEN] = *b"BEHAVIOUR=fine                  ";

/// The name that this file has.
pub(crate) fn behaviour() -> String {
    // SAFETY: a static of this library, which nothing writes to once it is mapped.
    // Volatile, because the compiler must not take the text that it was built with
    // for the one that it will be run with.
    let text = unsafe { (&raw const BEHAVIOUR).read_volatile() };
    String::from_utf8_lossy(&text[PREFIX.len()..])
        .trim_end()
        .to_owned()
}
