//! What a component asks for and offers, read from its types before anything of it runs.

/// The package of the contract.
const PACKAGE: &str = "foreshock:detector/";
/// The version that this program speaks.
pub(super) const VERSION: &str = "0.1.0";

/// A component's imports and exports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Contract {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Contract {
    /// The version of the contract that it exports, if it exports one.
    pub(super) fn version(&self) -> Option<&str> {
        self.exports.iter().find_map(|name| name.strip_prefix(PACKAGE)?.strip_prefix("detector@"))
    }

    /// The imports that no detector gets.
    pub(super) fn foreign(&self) -> Vec<&str> {
        let ours = [format!("{PACKAGE}host@{VERSION}"), format!("{PACKAGE}types@{VERSION}")];
        self.imports.iter().filter(|name| !ours.contains(name)).map(String::as_str).collect()
    }
}

/// Reads them; the error ends a sentence that begins with the file.
pub(super) fn read(bytes: &[u8]) -> Result<Contract, String> {
    // The preamble of WebAssembly: magic number, version, layer (component model, Binary.md).
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => {}
        Some(b"\0asm\x01\0\0\0") => {
            return Err("is a core module, not a component; `foreshock detector build` makes components".to_owned());
        }
        _ => return Err("is no WebAssembly component".to_owned()),
    }
    let decoded = wit_component::decode(bytes).map_err(|error| format!("can't be read: {error:#}"))?;
    let wit_component::DecodedWasm::Component(resolve, world) = &decoded else {
        return Err("holds interfaces only, no component".to_owned());
    };
    let world = &resolve.worlds[*world];
    Ok(Contract {
        imports: world.imports.keys().map(|key| resolve.name_world_key(key)).collect(),
        exports: world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a component imports decides whether it may run, so it must be read from real ones, and other files must be told
    /// apart.
    #[test]
    fn contracts_are_read() {
        let contract = read(foreshock_builtin::component("baseline").expect("built in")).expect("a component");
        assert_eq!(contract.version(), Some(VERSION));
        assert!(contract.foreign().is_empty(), "{:?}", contract.imports);
        let other = Contract { imports: vec!["wasi:clocks/wall-clock@0.2.0".into()], exports: vec!["run".into()] };
        assert_eq!((other.version(), other.foreign()), (None, vec!["wasi:clocks/wall-clock@0.2.0"]));
        assert!(read(b"\0asm\x01\0\0\0").is_err_and(|why| why.contains("core module")));
        assert!(read(b"#!/bin/sh").is_err_and(|why| why.contains("no WebAssembly")));
        assert!(read(b"\0asm\x0d\0\x01\0garbage").is_err());
    }
}
