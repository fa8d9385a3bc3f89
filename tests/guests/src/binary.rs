//! WebAssembly by hand, for what no tool would write.

/// The first bytes of a component: magic number, version 13, layer 1 (component model, Binary.md).
pub const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// The first bytes of a core module.
pub const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Sections of a component.
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;
const NESTED_COMPONENT: u8 = 4;
const INSTANCE: u8 = 5;

/// A number in LEB128.
#[must_use]
pub fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A section, or anything else that begins with its number and its length.
#[must_use]
pub fn section(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number][..], &length(content), content].concat()
}

fn length(content: &[u8]) -> Vec<u8> {
    leb(u32::try_from(content.len()).expect("a section of less than 4 GiB"))
}

/// A component with a core module and so many more instances of it, which nothing uses.
#[must_use]
pub fn with_instances(mut component: Vec<u8>, module: &[u8], instances: u32) -> Vec<u8> {
    let index = leb(modules(&component));
    component.extend(section(CORE_MODULE, module));
    let one = [&[0][..], &index, &[0]].concat();
    let all = one.repeat(instances as usize);
    component.extend(section(CORE_INSTANCE, &[leb(instances), all].concat()));
    component
}

/// How many core modules a component has, nested ones aside.
fn modules(component: &[u8]) -> u32 {
    let (mut at, mut found) = (COMPONENT.len(), 0);
    while at < component.len() {
        found += u32::from(component[at] == CORE_MODULE);
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            length |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
    }
    found
}

/// A component that has nothing but a core module.
#[must_use]
pub fn around(module: &[u8]) -> Vec<u8> {
    [COMPONENT.to_vec(), section(CORE_MODULE, module)].concat()
}

/// A core module with functions of type `() -> ()`, each with this body: groups of locals, then instructions, the last `end`.
#[must_use]
pub fn module(functions: u32, body: &[u8]) -> Vec<u8> {
    let types = [1, 0x60, 0, 0];
    let body = [length(body), body.to_vec()].concat();
    [
        MODULE.to_vec(),
        section(1, &types),
        section(3, &[leb(functions), vec![0; functions as usize]].concat()),
        section(10, &[leb(functions), body.repeat(functions as usize)].concat()),
    ]
    .concat()
}

/// The body of a function with so many loops, one in the other, around instructions that change so many variables: in each loop each
/// of them has another value.
#[must_use]
pub fn loops(loops: u32, variables: u32) -> Vec<u8> {
    let mut body = [vec![1], leb(variables), vec![0x7f]].concat();
    body.extend([0x03, 0x40].repeat(loops as usize));
    for variable in (0..variables).map(leb) {
        // local.get, i32.const 1, i32.add, local.set
        body.extend([&[0x20], &variable[..], &[0x41, 1, 0x6a, 0x21], &variable].concat());
    }
    // local.get 0, br_if 0, end
    body.extend([0x20, 0, 0x0d, 0, 0x0b].repeat(loops as usize));
    body.push(0x0b);
    body
}

/// A component that makes `each` instances of one like it, and so on; the innermost makes one of an empty core module.
#[must_use]
pub fn nest(levels: u32, each: u32) -> Vec<u8> {
    let mut component = with_instances(COMPONENT.to_vec(), &MODULE, 1);
    for _ in 0..levels {
        let instances = [leb(each), [0, 0, 0].repeat(each as usize)].concat();
        component = [COMPONENT.to_vec(), section(NESTED_COMPONENT, &component), section(INSTANCE, &instances)].concat();
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoding of the specification's example (WebAssembly core, binary format, integers).
    #[test]
    fn numbers_are_leb128() {
        assert_eq!(leb(0), [0]);
        assert_eq!(leb(127), [0x7f]);
        assert_eq!(leb(624_485), [0xe5, 0x8e, 0x26]);
    }
}
