//! Which blob of a manifest is the component.

use crate::Digest;
use serde::Deserialize;

/// The media types under which a component is a layer: the one that CNCF's and the Bytecode Alliance's guidance agreed on, and the older
/// one of `wasm-to-oci` and early `oras` examples.
pub(crate) const COMPONENT: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// What is asked for: the image specification's manifest. An index is asked for too, so that it can be told what is wrong with it.
pub(crate) const ACCEPT: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json;q=0.1";

/// What a manifest says of one blob. Fields that are of no use here are left out.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<serde_json::Value>>,
}

/// A blob.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The component's layer; the error says what the manifest is instead.
pub(crate) fn layer(manifest: &[u8]) -> Result<Layer, String> {
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| format!("is no manifest: {error}"))?;
    if manifest.schema_version != 2 {
        return Err(format!("is a manifest of schema {}, not 2", manifest.schema_version));
    }
    let Some(layers) = manifest.layers else {
        return Err(match manifest.manifests {
            Some(manifests) => {
                format!("is an index of {} manifests; take the digest of the one that is meant", manifests.len())
            }
            None => "has no layers".to_owned(),
        });
    };
    let mut components = layers.iter().filter(|layer| COMPONENT.contains(&layer.media_type.as_str()));
    let Some(component) = components.next() else {
        let types: Vec<&str> =
            layers.iter().take(8).map(|layer| layer.media_type.get(..64).unwrap_or(&layer.media_type)).collect();
        return Err(format!("has no layer of type `{}`, but [{}]", COMPONENT.join("` or `"), types.join(", ")));
    };
    if components.next().is_some() {
        return Err("has several components".to_owned());
    }
    let digest = Digest::parse(&component.digest)
        .ok_or_else(|| "names its component by something else than a SHA-256".to_owned())?;
    Ok(Layer { digest, size: component.size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.wasm.config.v0+json"}},"layers":[{layers}]}}"#
        )
    }

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":7,"annotations":{{"a":"b"}}}}"#, Digest::of(b"x"))
    }

    /// The component is found under both media types, also beside other layers.
    #[test]
    fn components_are_found() {
        for media_type in COMPONENT {
            let layers = format!("{},{}", descriptor("text/plain"), descriptor(media_type));
            assert_eq!(layer(manifest(&layers).as_bytes()), Ok(Layer { digest: Digest::of(b"x"), size: 7 }));
        }
    }

    /// Whatever else lies under a digest is refused, with what it is.
    #[test]
    fn other_manifests_are_told_apart() {
        let wasm = descriptor(COMPONENT[0]);
        for (text, why) in [
            ("{".to_owned(), "is no manifest"),
            (r#"{"schemaVersion":1}"#.to_owned(), "schema 1"),
            (r#"{"schemaVersion":2}"#.to_owned(), "has no layers"),
            (r#"{"schemaVersion":2,"manifests":[{},{}]}"#.to_owned(), "an index of 2 manifests"),
            (manifest(""), "has no layer of type"),
            (
                manifest(&descriptor("application/vnd.oci.image.layer.v1.tar+gzip")),
                "[application/vnd.oci.image.layer.v1.tar+gzip]",
            ),
            (manifest(&format!("{wasm},{wasm}")), "several components"),
            (manifest(&wasm.replace("sha256", "sha512")), "something else than a SHA-256"),
            (manifest(&wasm.replace(":7,", ":-7,")), "is no manifest"),
        ] {
            let said = layer(text.as_bytes()).expect_err("no component");
            assert!(said.contains(why), "{said}");
        }
    }
}
