//! What actors tell everyone who listens: as it happens, again to who was away, and in
//! the shape that each of them knows.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use host_journal::{NotHad, Record, Since};
use host_model::effect::Effect;
use host_model::error::chain;
use host_model::limits::RESUMES_AT_ONCE_MAX;
use host_model::{ActorId, Version};
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::{Actors, Release, shapes};

/// Whose turn it is to read the journal for clients that come back.
static RESUMES: Semaphore = Semaphore::const_new(RESUMES_AT_ONCE_MAX);

/// An event for everyone who has joined an actor's topic.
#[derive(Debug, Clone)]
pub struct News {
    /// Whose topic.
    pub actor: ActorId,
    /// Sequence of the command that led to it; one may have led to several.
    pub seq: u64,
    /// The plugin version in whose shape it is.
    pub version: Version,
    /// Its name on the topic.
    pub event: String,
    /// JSON, an object as a rule.
    pub payload: Box<RawValue>,
}

/// What somebody has missed; see [`Actors::missed`].
#[derive(Debug, Clone)]
pub struct Missed {
    /// Sequence up to which it reaches: what comes behind it was not there yet.
    pub through: u64,
    /// All of it, in order, or why it is not to be had.
    pub news: Result<Vec<News>, NotResumed>,
}

/// Why somebody cannot be told what was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotResumed {
    /// More has happened than is told afterwards.
    #[error("too_many")]
    TooMany,
    /// The journal does not keep it any more, or in a shape that nothing here knows.
    #[error("not_kept")]
    NotKept,
    /// The actor has not come so far: its store was put back from a backup.
    #[error("ahead")]
    Ahead,
    /// The journal could not be read.
    #[error("unavailable")]
    Unavailable,
}

/// A version that is not installed any more: nobody can say what it knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("version {0}, under which it was joined, is not installed any more; join again")]
pub struct UnknownShape(pub Version);

/// Why it cannot be said what somebody is to be told of some news.
enum Untold {
    /// Nobody knows the shapes of the version that is asked for.
    For(UnknownShape),
    /// No way leads there from the version that told it.
    NoWay,
}

impl Actors {
    /// `news` in the shape of `version`, for a client that joined under it. None: that
    /// version has nothing like it, so its client is not told. Runs plugin code.
    ///
    /// # Errors
    ///
    /// [`UnknownShape`]
    pub fn news_for<'n>(
        &self,
        news: &'n News,
        version: &Version,
    ) -> Result<Option<Cow<'n, News>>, UnknownShape> {
        match news_for(self.reign.load().newest(), news, version) {
            Ok(told) => Ok(told),
            Err(Untold::For(unknown)) => Err(unknown),
            Err(Untold::NoWay) => Ok(None),
        }
    }

    /// What the actor has told everyone since the sequence `after`, up to `until` (or to
    /// where it is now), in the shape of `version`. Only what is durable; what is told
    /// while this runs is behind it, or in it as well.
    pub async fn missed(
        self: &Arc<Self>,
        actor: &ActorId,
        after: u64,
        until: Option<u64>,
        version: &Version,
    ) -> Missed {
        let ending = |why| Missed {
            through: until.unwrap_or(after),
            news: Err(why),
        };
        if until == Some(after) {
            let news = Ok(Vec::new());
            return Missed {
                news,
                ..ending(NotResumed::Unavailable)
            };
        }
        let _turn = RESUMES.acquire().await;
        let (actors, id, version) = (Arc::clone(self), actor.clone(), version.clone());
        let read = tokio::task::spawn_blocking(move || {
            let since = actors.journal.since(&id, after);
            let since = since.map_err(|error| chain(&error))?;
            Ok::<_, String>(missed(&actors, &id, after, until, &version, since))
        });
        match read.await.map_err(|error| chain(&error)) {
            Ok(Ok(missed)) => missed,
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%actor, error, "what a client has missed could not be read");
                ending(NotResumed::Unavailable)
            }
        }
    }
}

fn missed(
    actors: &Actors,
    actor: &ActorId,
    after: u64,
    until: Option<u64>,
    version: &Version,
    since: Since,
) -> Missed {
    let through = until.unwrap_or(since.through);
    let records = match since.records {
        _ if after > through => Err(NotResumed::Ahead),
        Ok(records) => Ok(records),
        Err(NotHad::TooMany) => Err(NotResumed::TooMany),
        Err(NotHad::NotKept) => Err(NotResumed::NotKept),
    };
    let reign = actors.reign.load();
    let told = |record: &Record| {
        let news = broadcasts(actor, record).into_iter();
        news.filter_map(|news| {
            let told = news_for(reign.newest(), &news, version);
            // Who is told the rest would take it for all.
            let told = told.map_err(|_| NotResumed::NotKept);
            told.map(|told| told.map(Cow::into_owned)).transpose()
        })
        .collect::<Vec<_>>()
    };
    let news = records.and_then(|records| {
        let records = records.iter().filter(|record| record.seq <= through);
        records.flat_map(told).collect()
    });
    Missed { through, news }
}

/// What a record told everyone, when it was made.
fn broadcasts(actor: &ActorId, record: &Record) -> Vec<News> {
    if record.effects.is_empty() {
        return Vec::new();
    }
    let effects = serde_json::from_slice::<Vec<Effect>>(&record.effects).unwrap_or_else(|error| {
        tracing::warn!(%actor, seq = record.seq, %error, "a record's effects cannot be read");
        Vec::new()
    });
    let news = effects.into_iter().filter_map(|effect| match effect {
        Effect::Broadcast { event, payload } => Some(News {
            actor: actor.clone(),
            seq: record.seq,
            version: record.version.clone(),
            event,
            payload,
        }),
        _ => None,
    });
    news.collect()
}

fn news_for<'n>(
    release: &Release,
    news: &'n News,
    version: &Version,
) -> Result<Option<Cow<'n, News>>, Untold> {
    if news.version == *version {
        return Ok(Some(Cow::Borrowed(news)));
    }
    let unknown = || Untold::For(UnknownShape(version.clone()));
    let code = release
        .code(news.actor.plugin(), version)
        .ok_or_else(unknown)?;
    let way = shapes::way(release, code, &news.version).ok_or(Untold::NoWay)?;
    let payload = Bytes::copy_from_slice(news.payload.get().as_bytes());
    let (event, payload) = match shapes::along(&way, &news.event, &payload) {
        Ok(Ok(None)) => return Ok(Some(Cow::Borrowed(news))),
        Ok(Ok(Some(shape))) => shape,
        // The other shape has nothing like it.
        Ok(Err(_)) => return Ok(None),
        Err(fault) => {
            let (actor, event) = (&news.actor, &news.event);
            tracing::warn!(%actor, event, %version, %fault, "a broadcast could not be converted");
            // Whoever listens misses it by this version's fault.
            if let Some(broken) = release.code(actor.plugin(), &fault.version) {
                broken.event(event).came_to_nothing(&fault.to_string());
            }
            return Ok(None);
        }
    };
    let payload = serde_json::from_slice::<Box<RawValue>>(&payload);
    Ok(payload.ok().map(|payload| {
        Cow::Owned(News {
            event,
            payload,
            version: version.clone(),
            ..news.clone()
        })
    }))
}
