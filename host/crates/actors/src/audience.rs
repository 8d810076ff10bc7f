//! Who listens to actors.

use host_model::{ActorId, Version};

use crate::News;

/// What the actors tell those who listen. Called on the data runtime, in order
/// for each actor, when what is told is durable. Must not block.
pub trait Audience: Send + Sync + 'static {
    /// An event for everyone who has joined the actor's topic.
    fn broadcast(&self, news: News);

    /// The actor has come over to `plugin`'s version, under `release`.
    fn switched(&self, actor: &ActorId, release: &Version, plugin: &Version);

    /// The actor crashed and is built anew.
    fn crashed(&self, actor: &ActorId, reason: &str);

    /// The topics of `plugin` that someone has joined.
    fn topics(&self, plugin: &str) -> Vec<ActorId>;
}
