//! `/api/openapi.json`: what the release that rules can be asked over HTTP, as OpenAPI 3.1
//! has it.
//!
//! The document is made from what the plugins say of themselves, once for each release that
//! has ruled, and another one is there as soon as another release rules.

mod document;
mod parameters;
mod schema;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use host_actors::Release;
use host_model::manifest::PluginManifest;

use crate::answer::{Wanted, digest, pack};
use crate::coding::Coding;
use crate::server::App;

/// The document of the release that was asked for last.
#[derive(Debug, Default)]
pub(crate) struct Documents(ArcSwapOption<Document>);

/// A document in each coding, for it changes seldom.
#[derive(Debug)]
struct Document {
    of: Arc<Release>,
    digest: String,
    plain: Bytes,
    gzip: Bytes,
    zstd: Bytes,
}

pub(crate) async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    let document = app.documents.of(app.actors.release());
    let wanted = Wanted::read(request.headers());
    wanted.kept_as(&document.plain, &document.digest, |coding| match coding {
        Coding::Zstd => document.zstd.clone(),
        Coding::Gzip => document.gzip.clone(),
        Coding::Identity => document.plain.clone(),
    })
}

impl Documents {
    /// By the release itself and not by its number: where plugins are developed, the same
    /// number may stand for others.
    fn of(&self, release: Arc<Release>) -> Arc<Document> {
        if let Some(known) = &*self.0.load()
            && Arc::ptr_eq(&known.of, &release)
        {
            return Arc::clone(known);
        }
        let document = Arc::new(Document::of(release));
        self.0.store(Some(Arc::clone(&document)));
        document
    }
}

impl Document {
    fn of(release: Arc<Release>) -> Self {
        let plugins = release.plugins.values();
        let plugins: Vec<&PluginManifest> = plugins.map(|it| it.code.plugin().manifest()).collect();
        let document = document::of(&release.version, &plugins);
        let plain = Bytes::from(serde_json::to_vec(&document).expect("a value is JSON"));
        Self {
            digest: digest(&plain),
            gzip: pack(Coding::Gzip, &plain),
            zstd: pack(Coding::Zstd, &plain),
            plain,
            of: release,
        }
    }
}
