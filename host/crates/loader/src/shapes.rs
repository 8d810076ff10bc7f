//! A message in the shape of another version, step by step. Whoever converts one converts
//! it by this: what a rehearsal hears is what the actors will hear.

use bytes::Bytes;
use host_model::Version;
use host_model::effect::Rejection;

use crate::{Fault, Plugin};

/// A message's name and payload.
pub type Shape = (String, Bytes);

/// From one version to a neighbour; the newer of the two knows both shapes.
#[derive(Debug, Clone, Copy)]
pub struct ShapeStep<'a> {
    /// Whose functions convert.
    pub newer: &'a Plugin,
    /// The other one.
    pub older: &'a Version,
    /// Whether the message goes to the newer one.
    pub up: bool,
}

impl<'a> ShapeStep<'a> {
    /// From `a` to `b`.
    #[must_use]
    pub fn between(a: &'a Plugin, b: &'a Plugin) -> Self {
        let up = a.version() < b.version();
        let (older, newer) = if up { (a, b) } else { (b, a) };
        Self {
            newer,
            older: older.version(),
            up,
        }
    }

    /// Of two versions between which only the code changed, the shapes are the same.
    fn changes(&self) -> bool {
        let from = self.newer.manifest().migrates_from.as_ref();
        from.is_some_and(|from| from.matches(self.older))
    }
}

/// `event` over `steps`, one behind the other. None: it is as it was.
///
/// # Errors
///
/// A plugin's [`Fault`]; inside, the [`Rejection`] of the first version on the way that has
/// nothing like it.
pub fn convert<'a>(
    steps: impl IntoIterator<Item = ShapeStep<'a>>,
    event: &str,
    payload: &Bytes,
) -> Result<Result<Option<Shape>, Rejection>, Box<Fault>> {
    let mut shape: Option<Shape> = None;
    for step in steps.into_iter().filter(ShapeStep::changes) {
        let (event, payload) = match &shape {
            Some((event, payload)) => (&**event, payload),
            None => (event, payload),
        };
        let converted = match step.up {
            true => step.newer.upcast(step.older, event, payload)?,
            false => step.newer.downcast(step.older, event, payload)?,
        };
        match converted {
            Ok(next) => shape = Some(next),
            Err(rejection) => return Ok(Err(rejection)),
        }
    }
    Ok(Ok(shape))
}
