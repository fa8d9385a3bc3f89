//! The detectors that come with Foreshock, as WebAssembly components inside the program.
//!
//! The build script compiles them from `detectors/`.

include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The component of a built-in detector, or `None` if there is none of this name.
#[must_use]
pub fn component(name: &str) -> Option<&'static [u8]> {
    COMPONENTS.iter().find(|(candidate, _)| *candidate == name).map(|(_, component)| *component)
}

/// The names of all built-in detectors, in ascending order.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMPONENTS.iter().map(|(name, _)| *name)
}

/// A detector that misbehaves on request, for tests. Not among [`names`], so that no configuration can ask for it.
#[must_use]
pub fn chaos() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/chaos.wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration names detectors by these names; each must lead to a component, in a stable order, and the one for
    /// tests must stay out of reach.
    #[test]
    fn every_name_leads_to_a_component() {
        let names: Vec<_> = names().collect();
        assert!(names.is_sorted());
        for name in names {
            // The preamble of a component: magic number, version 13, layer 1 (component model, Binary.md).
            assert_eq!(component(name).unwrap()[..8], *b"\0asm\x0d\0\x01\0", "{name}");
        }
        assert!(component("chaos").is_none());
        assert!(component("").is_none());
        assert_eq!(chaos()[..8], *b"\0asm\x0d\0\x01\0");
    }

    /// Events carry the digest of a detector's component, so the same source must give the same component for whoever builds it: none
    /// may hold a path of the machine. Where it was built shows in the messages of panics first.
    #[test]
    fn components_do_not_tell_where_they_were_built() {
        let home = std::env::home_dir().filter(|home| home.parent().is_some()).map(|home| home.display().to_string());
        let here = std::env::current_dir().unwrap().display().to_string();
        for path in home.iter().chain([&here, &".cargo/registry".to_owned()]) {
            for (name, component) in COMPONENTS {
                let found = component.windows(path.len()).any(|bytes| bytes == path.as_bytes());
                assert!(!found, "{name} holds {path}");
            }
        }
    }
}
