//! A bill of materials as CycloneDX 1.6 has it: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::Package;
use host_loader::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::Graph;
use crate::recipe::Recipe;

/// The part of `Cargo.lock` that is read.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The bill of a release. It says no time: the same libraries give the same text.
pub(crate) fn text(recipe: &Recipe, graph: &Graph<'_>) -> Result<Vec<u8>> {
    let checksums = checksums(graph)?;
    let components: Vec<Value> = graph
        .packages
        .iter()
        .map(|((name, version), package)| {
            let key = ((*name).to_owned(), version.clone());
            component(package, checksums.get(&key))
        })
        .collect();
    let name = |package: &Package| reference(package);
    let dependencies: Vec<Value> = graph
        .packages
        .values()
        .map(|package| {
            let used = graph.uses.get(&package.id).into_iter().flatten();
            let mut used: Vec<_> = used.map(|id| name(&graph.metadata[*id])).collect();
            used.sort();
            json!({"ref": name(package), "dependsOn": used})
        })
        .collect();
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": format!("{}@{}", recipe.name, recipe.version),
                "name": recipe.name,
                "version": recipe.version,
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    bill["serialNumber"] = serial(&serde_json::to_vec(&bill)?).into();
    let mut text = serde_json::to_vec_pretty(&bill)?;
    text.push(b'\n');
    Ok(text)
}

fn component(package: &Package, checksum: Option<&String>) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name.as_str(),
        "version": package.version.to_string(),
    });
    // Packages of the workspace are in no registry.
    if package.source.is_some() {
        component["purl"] = reference(package).into();
    }
    if let Some(licence) = &package.license {
        // The old way to write a choice.
        let expression = licence.replace('/', " OR ");
        component["licenses"] = json!([{"expression": expression}]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

/// Names a package within the bill, and in its registry.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// What the registry's files of packages hash to, by name and version.
fn checksums(graph: &Graph<'_>) -> Result<BTreeMap<(String, String), String>> {
    let file = graph.metadata.workspace_root.join("Cargo.lock");
    let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let lock: Lock = toml::from_str(&text).with_context(|| format!("read {file}"))?;
    let packages = lock.package.into_iter();
    let hashed = packages.filter_map(|it| Some(((it.name, it.version), it.checksum?)));
    Ok(hashed.collect())
}

/// A UUID of version 8 made of what it numbers: RFC 9562, 5.8.
fn serial(bytes: &[u8]) -> String {
    let mut id = [0; 16];
    id.copy_from_slice(&Digest::of(bytes).as_bytes()[..16]);
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
