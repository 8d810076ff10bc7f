//! What a release says of the libraries that it is made of: their licences, and a bill of
//! materials.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, Node, Package, PackageId};

use crate::recipe::Recipe;
use crate::sbom;

/// How names of files begin in which a package says its terms, in lower case.
const TERMS: [&str; 6] = [
    "licen",
    "copying",
    "copyright",
    "notice",
    "unlicense",
    "patents",
];

/// Bytes of one such file that are taken up; no licence is longer.
const TERMS_BYTES_MAX: u64 = 256 << 10;

/// The texts `licences.txt` and `sbom.cdx.json` of a release that is made of these packages
/// and all that they are built from.
///
/// # Errors
///
/// What cannot be read.
pub fn documents(
    recipe: &Recipe,
    metadata: &Metadata,
    roots: &[PackageId],
) -> Result<Vec<(String, Vec<u8>)>> {
    let graph = Graph::of(metadata, roots)?;
    Ok(vec![
        ("licences.txt".to_owned(), licences(&graph)?.into_bytes()),
        ("sbom.cdx.json".to_owned(), sbom::text(recipe, &graph)?),
    ])
}

/// The packages of a release, by name and version.
pub(crate) struct Graph<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) packages: BTreeMap<(&'a str, String), &'a Package>,
    /// Whom each is built from.
    pub(crate) uses: BTreeMap<&'a PackageId, BTreeSet<&'a PackageId>>,
}

impl<'a> Graph<'a> {
    fn of(metadata: &'a Metadata, roots: &[PackageId]) -> Result<Self> {
        let resolve = metadata
            .resolve
            .as_ref()
            .context("cargo resolves nothing")?;
        let nodes: BTreeMap<&PackageId, &Node> =
            resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let mut uses: BTreeMap<&PackageId, BTreeSet<&PackageId>> = BTreeMap::new();
        let mut left: Vec<&PackageId> = roots
            .iter()
            .filter_map(|root| nodes.get_key_value(root).map(|(id, _)| *id))
            .collect();
        while let Some(id) = left.pop() {
            if uses.contains_key(id) {
                continue;
            }
            let node = nodes.get(id).context("cargo names a package twice")?;
            // What only tests use is in no release.
            let own = node.deps.iter().filter(|dep| {
                let mut kinds = dep.dep_kinds.iter();
                kinds.any(|it| it.kind != DependencyKind::Development)
            });
            let own: BTreeSet<&PackageId> = own.map(|dep| &dep.pkg).collect();
            left.extend(&own);
            uses.insert(id, own);
        }
        let packages = uses.keys().map(|id| {
            let package = &metadata[*id];
            (
                (package.name.as_str(), package.version.to_string()),
                package,
            )
        });
        Ok(Self {
            packages: packages.collect(),
            metadata,
            uses,
        })
    }
}

/// Whether a package is one of the workspace's own.
fn is_own(package: &Package) -> bool {
    package.source.is_none()
}

fn licences(graph: &Graph<'_>) -> Result<String> {
    let mut text = String::from("This release is made of these libraries, on these terms.\n");
    let mut terms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((name, version), package) in &graph.packages {
        let named = format!("{name} {version}");
        let licence = package.license.as_deref().unwrap_or("see below");
        writeln!(text, "{named}: {licence}")?;
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest is a file")?;
        // A package of others may bring a library in C, whose terms lie with its sources; what
        // is in a folder of our own is of other packages, too.
        let mut found = texts(folder.as_std_path(), !is_own(package))?;
        if found.is_empty() && is_own(package) {
            found = texts(graph.metadata.workspace_root.as_std_path(), false)?;
        }
        for it in found {
            terms.entry(it).or_default().push(named.clone());
        }
    }
    for (terms, of) in &terms {
        write!(text, "\n{}\n{}\n\n{terms}\n", "-".repeat(72), of.join(", "))?;
    }
    Ok(text)
}

/// The terms that lie in a package's folder, in the order of their names; with `below`, those
/// in the folders below it, too.
fn texts(folder: &Path, below: bool) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let reading = || format!("read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let found = entry.metadata().with_context(reading)?;
            let is_terms = TERMS.iter().any(|begin| name.starts_with(begin));
            if is_terms && found.is_file() && found.len() <= TERMS_BYTES_MAX {
                files.push(entry.path());
            } else if below && found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_a_library_within_a_package_are_found() {
        let package = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = package.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("LICENSE-MIT", "of the binding\n");
        put("library/COPYING", "of the library\n");
        put("library/src/malloc.c", "code\n");
        let all = texts(package.path(), true).unwrap();
        assert_eq!(all, ["of the binding", "of the library"]);
        assert_eq!(texts(package.path(), false).unwrap(), ["of the binding"]);
    }
}
