//! A look at a component before it is compiled: what it wants from the host, and whether compiling it is bounded.
//!
//! The compiler's time and memory grow with a component's code, faster than in proportion within one function, and with the number
//! of instances that its nested components make together, which can double with every few bytes. Nothing can stop the compiler
//! once it runs. So all three are bounded before.

use crate::{sandbox::LoadError, settings::CompileLimits, text::clean};
use wasmparser::{BinaryReaderError, CompositeInnerType, Encoding, FunctionBody, Operator, Parser, Payload, SubType};

/// The contract's package and version.
const PACKAGE: &str = "foreshock:detector/";
const VERSION: &str = "0.1.0";
/// What a detector may import.
pub(crate) const HOST: &str = "foreshock:detector/host@0.1.0";
/// Types alone, which give nothing to call.
const TYPES: &str = "foreshock:detector/types@0.1.0";

/// One component that encloses the place that is read.
#[derive(Default)]
struct Level {
    core_instances: u64,
    component_instances: u64,
}

/// Checks a component without compiling it.
pub(crate) fn inspect(bytes: &[u8], limits: &CompileLimits) -> Result<(), LoadError> {
    let within = |what: &'static str, found: u64, most: u64| {
        if found > most { Err(LoadError::TooLarge { what, found, most }) } else { Ok(()) }
    };
    within("bytes", bytes.len() as u64, limits.component_bytes as u64)?;
    // Components and modules that enclose the place that is read; `None` for a module.
    let mut levels: Vec<Option<Level>> = Vec::new();
    let mut functions = 0_u64;
    let mut whole_flow = 0_u64;
    // The most parameters or results of any function or block so far.
    let mut widest = 0_u64;
    // The most instances that any component read so far makes, those of its nested ones too.
    let mut most_instances = 0_u64;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(unreadable)? {
            Payload::Version { encoding: Encoding::Module, .. } if levels.is_empty() => {
                return Err(LoadError::CoreModule);
            }
            Payload::Version { encoding, .. } => {
                levels.push((encoding == Encoding::Component).then(Level::default));
                within("nested components", levels.len() as u64, MOST_NESTED)?;
            }
            Payload::ComponentImportSection(imports) if levels.len() == 1 => {
                for import in imports {
                    check_import(import.map_err(unreadable)?.name.name)?;
                }
            }
            Payload::ComponentExportSection(exports) if levels.len() == 1 => {
                for export in exports {
                    check_export(export.map_err(unreadable)?.name.name)?;
                }
            }
            Payload::InstanceSection(section) => count(&mut levels, |level| &mut level.core_instances, section.count()),
            Payload::ComponentInstanceSection(section) => {
                count(&mut levels, |level| &mut level.component_instances, section.count());
            }
            Payload::TypeSection(types) => {
                for group in types {
                    widest = widest.max(group.map_err(unreadable)?.types().map(arity).max().unwrap_or(0));
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                functions += u64::from(count);
                within("functions", functions, u64::from(limits.functions))?;
            }
            Payload::CodeSectionEntry(body) => {
                within("bytes in one function", body.range().len() as u64, limits.function_bytes as u64)?;
                let flow = Flow::of(&body, widest).map_err(unreadable)?;
                within("variables in one function", flow.variables, u64::from(limits.function_variables))?;
                within("variables times branches in one function", flow.cost(), limits.function_flow)?;
                whole_flow = whole_flow.saturating_add(flow.cost());
                within("variables times branches", whole_flow, limits.flow)?;
            }
            Payload::End(_) => {
                // Any of the nested components may be the one that each instance is of.
                if let Some(Some(level)) = levels.pop() {
                    let nested = level.component_instances.saturating_mul(most_instances);
                    most_instances = most_instances.max(nested.saturating_add(level.core_instances).saturating_add(1));
                    within("instances", most_instances, u64::from(limits.instances))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unreadable(error: BinaryReaderError) -> LoadError {
    LoadError::NotAComponent(Box::new(error))
}

/// Parameters or results of a function's type, whichever are more.
fn arity(kind: &SubType) -> u64 {
    match &kind.composite_type.inner {
        CompositeInnerType::Func(function) => function.params().len().max(function.results().len()) as u64,
        _ => 0,
    }
}

/// What a function costs the compiler where it costs more than its length: at each branch and at the head of each loop there may be
/// another value of every variable, and the compiler looks at it once more for each loop around. (Measured: 200 loops, one in the
/// other, that change 200 variables are 3 KB of code and take ten seconds.)
struct Flow {
    variables: u64,
    branches: u64,
}

impl Flow {
    /// `widest`: as many values as a block may have for parameters or results.
    fn of(body: &FunctionBody<'_>, widest: u64) -> Result<Self, BinaryReaderError> {
        let mut variables = widest;
        for local in body.get_locals_reader()? {
            variables = variables.saturating_add(u64::from(local?.0));
        }
        // Whether each block around the place that is read is a loop.
        let (mut blocks, mut loops, mut branches): (Vec<bool>, u64, u64) = (Vec::new(), 0, 0);
        for operator in body.get_operators_reader()? {
            let targets = match operator? {
                Operator::Loop { .. } => {
                    blocks.push(true);
                    loops += 1;
                    1
                }
                Operator::Block { .. } | Operator::If { .. } => {
                    blocks.push(false);
                    1
                }
                Operator::End => {
                    loops -= u64::from(blocks.pop() == Some(true));
                    0
                }
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } => 1,
                Operator::BrTable { targets } => u64::from(targets.len()),
                _ => 0,
            };
            branches += targets * (loops + 1);
        }
        Ok(Self { variables, branches })
    }

    fn cost(&self) -> u64 {
        self.variables.saturating_mul(self.branches)
    }
}

/// Deeper than any tool nests.
const MOST_NESTED: u64 = 16;

fn count(levels: &mut [Option<Level>], of: fn(&mut Level) -> &mut u64, more: u32) {
    if let Some(Some(level)) = levels.last_mut() {
        *of(level) += u64::from(more);
    }
}

fn check_import(name: &str) -> Result<(), LoadError> {
    if name == HOST || name == TYPES {
        return Ok(());
    }
    match name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) {
        Some((_, version)) if version != VERSION => Err(LoadError::OtherContract { version: clean(version, 64) }),
        _ => Err(LoadError::UnknownImport { import: clean(name, 256) }),
    }
}

/// A component may export more than it must, but no other version of what it must.
fn check_export(name: &str) -> Result<(), LoadError> {
    match name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix("detector@")) {
        Some(version) if version != VERSION => Err(LoadError::OtherContract { version: clean(version, 64) }),
        _ => Ok(()),
    }
}
