//! Hostile detectors: small, real components, each with one thing wrong in one place, and what must become of each.
//!
//! Most are `detector.wat`, which behaves, with a few instructions put in at one of its entry points. They are assembled when a test asks for
//! them, in about a millisecond each, and do not need a compiler of another language.
//!
//! - [`acts`]: loops, bombs and traps at every entry point;
//! - [`answers`]: verdicts, states and descriptions that break the contract;
//! - [`shapes`]: components that are none, want too much, or would cost the compiler too much.

pub mod acts;
pub mod answers;
pub mod binary;
pub mod random;
pub mod shapes;

use foreshock_engine::verdict::FaultReason;
use wit_component::{ComponentEncoder, StringEncoding};

const DETECTOR: &str = include_str!("../detector.wat");
const CONTRACT: &str = include_str!("../../../wit/detector.wit");

/// What must become of a guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is not loaded.
    Refused(Refusal),
    /// It is loaded, and its calls fail for these reasons and no other.
    Faults {
        /// Each of them at least once.
        reasons: Vec<FaultReason>,
        /// Whether it answers again in the end.
        recovers: bool,
    },
    /// It is odd, and answers all the same.
    Harmless,
}

/// Why a component is not loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// No WebAssembly component, or one that uses what is off.
    NotAComponent,
    /// A core module.
    CoreModule,
    /// Too much for the compiler.
    TooLarge,
    /// Made for another version of the contract.
    OtherContract,
    /// It imports what no detector gets.
    UnknownImport,
    /// It does not export what a detector must.
    WrongShape,
    /// It failed when it was asked what it is.
    Describe(FaultReason),
    /// What it says about itself breaks the contract.
    BadAbout,
}

/// A component and what must become of it.
pub struct Guest {
    /// What is wrong with it, and where.
    pub name: String,
    /// What must become of it.
    pub fate: Fate,
    make: Box<dyn Fn() -> Vec<u8> + Send + Sync>,
}

impl Guest {
    /// `detector.wat` with `code` in the place of `;;@entry`, for each pair of both.
    pub(crate) fn edited(name: impl Into<String>, fate: Fate, edits: &[(&str, &str)]) -> Self {
        let edits: Vec<(String, String)> =
            edits.iter().map(|&(entry, code)| (entry.to_owned(), code.to_owned())).collect();
        let make = move || {
            let edits: Vec<(&str, &str)> = edits.iter().map(|(entry, code)| (&**entry, &**code)).collect();
            assemble(&edits)
        };
        Self::made(name, fate, make)
    }

    /// Any bytes.
    pub(crate) fn made(
        name: impl Into<String>,
        fate: Fate,
        make: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), fate, make: Box::new(make) }
    }

    /// The component's bytes.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        (self.make)()
    }
}

/// Every guest there is.
#[must_use]
pub fn all() -> Vec<Guest> {
    [acts::guests(), answers::guests(), shapes::guests()].into_iter().flatten().collect()
}

/// The guest of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn named(name: &str) -> Guest {
    let found = all().into_iter().find(|guest| guest.name == name);
    found.unwrap_or_else(|| panic!("there is no guest {name:?}"))
}

/// The detector that behaves.
#[must_use]
pub fn good() -> Vec<u8> {
    assemble(&[])
}

/// The detector with code put in at some of its entry points.
///
/// # Panics
/// If the code is no WebAssembly, or there is no such entry point: a mistake in a test.
#[must_use]
pub fn assemble(edits: &[(&str, &str)]) -> Vec<u8> {
    componentize(&edit(edits), &[CONTRACT], "foreshock:detector/plugin")
}

fn edit(edits: &[(&str, &str)]) -> String {
    let mut text = DETECTOR.to_owned();
    for (entry, code) in edits {
        let place = format!(";;@{entry}\n");
        assert_eq!(text.matches(&place).count(), 1, "there is no entry point {entry:?}, or it is used twice");
        text = text.replace(&place, &format!("{code}\n"));
    }
    text
}

/// A component from the text of a core module, for a world of the last of these packages.
fn componentize(text: &str, packages: &[&str], world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = wit_parser::Resolve::default();
    let packages: Vec<_> =
        packages.iter().map(|wit| resolve.push_source("guest.wit", wit).expect("the contract is right")).collect();
    let world = resolve.select_world(&packages[packages.len() - 1..], Some(world)).expect("a world of this name");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the contract can be embedded");
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(&module);
    encoder.and_then(ComponentEncoder::encode).unwrap_or_else(|error| panic!("{error:#}\n{text}"))
}
