//! YAML as a tree of marked nodes, with environment variables put in.
//!
//! The tree is small and strict: keys are text and stand once, aliases and merge keys (`<<`) are followed within a budget.

use super::problem::{Mark, Problems};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::BTreeMap;

/// Longest file that is read, in bytes.
pub const LARGEST_FILE: u64 = 1 << 20;
/// Most nodes of a file, aliases followed.
const MOST_NODES: usize = 100_000;
/// Deepest nesting.
const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// What a node can be: YAML's core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub mark: Mark,
    /// The value.
    pub value: Node,
}

impl Value {
    /// What it is, with an article, for messages.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Str(_) => "text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The value under a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The same as JSON. Numbers that JSON can't hold become null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Str(value) => value.clone().into(),
            Value::Seq(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }

    /// The mark of what a JSON pointer (RFC 6901) leads to, or of the deepest node on the way there.
    #[must_use]
    pub fn mark_of_pointer(&self, pointer: &str) -> Mark {
        let mut node = self;
        let mut mark = self.mark;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::Map(entries) => match entries.iter().find(|entry| entry.key == part) {
                    Some(entry) => (node, mark) = (&entry.value, entry.mark),
                    None => break,
                },
                Value::Seq(items) => match part.parse::<usize>().ok().and_then(|index| items.get(index)) {
                    Some(item) => (node, mark) = (item, item.mark),
                    None => break,
                },
                _ => break,
            }
        }
        mark
    }
}

/// Reads the one document of `text`. Problems of syntax, doubled keys and unset variables go to `problems`; `None` means
/// that there is nothing to go on with. `env` looks an environment variable up.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) -> Option<Node> {
    let mut builder = Builder { env, problems, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None };
    let mut documents = 0;
    for step in Parser::new_from_str(text) {
        match step {
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                if documents > 1 {
                    builder.problems.error(mark_of(span), "a second document; a configuration has one");
                    return None;
                }
            }
            Ok((event, span)) => {
                if !builder.take(event, span) {
                    return None;
                }
            }
            Err(error) => {
                let mark = Mark { line: error.marker().line(), column: error.marker().col() + 1 };
                builder.problems.error(mark, format!("not YAML: {}", error.info()));
                return None;
            }
        }
    }
    builder.root
}

fn mark_of(span: Span) -> Mark {
    Mark { line: span.start.line(), column: span.start.col() + 1 }
}

/// A collection that is not yet closed.
struct Open {
    mark: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Entry>, key: Option<(Option<String>, Mark)> },
}

struct Builder<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Takes one event; `false` means that reading can't go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let mark = mark_of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let as_text = style != ScalarStyle::Plain || tag.as_ref().is_some_and(|tag| tag.suffix == "str");
                if let Some(tag) = tag.filter(|tag| tag.suffix != "str") {
                    self.problems.error(mark, format!("the tag `{tag}` means nothing here"));
                }
                let text = expand(&text, self.env, mark, self.problems);
                let value = if as_text { Value::Str(text) } else { resolve(text) };
                self.nodes += 1;
                self.place(Node { mark, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open { mark, anchor, content: Content::Seq(Vec::new()) }),
            Event::MappingStart(anchor, _) => {
                let content = Content::Map { entries: Vec::new(), merged: Vec::new(), key: None };
                self.begin(Open { mark, anchor, content })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return false };
                let value = match open.content {
                    Content::Seq(items) => Value::Seq(items),
                    Content::Map { mut entries, merged, .. } => {
                        for entry in merged {
                            if !entries.iter().any(|known| known.key == entry.key) {
                                entries.push(entry);
                            }
                        }
                        Value::Map(entries)
                    }
                };
                self.nodes += 1;
                let node = Node { mark: open.mark, value };
                let size = if open.anchor > 0 { size(&node) } else { 1 };
                self.place(node, open.anchor, size)
            }
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    self.problems.error(mark, "an alias of something that is not complete yet");
                    return false;
                };
                self.nodes = self.nodes.saturating_add(size);
                if self.nodes > MOST_NODES {
                    self.problems.error(mark, format!("more than {MOST_NODES} values, aliases followed"));
                    return false;
                }
                self.place(Node { mark, value: node.value }, 0, size)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                true
            }
        }
    }

    fn begin(&mut self, open: Open) -> bool {
        if self.open.len() >= DEEPEST {
            self.problems.error(open.mark, format!("nested more than {DEEPEST} deep"));
            return false;
        }
        self.open.push(open);
        true
    }

    fn place(&mut self, node: Node, anchor: usize, size: usize) -> bool {
        if self.nodes > MOST_NODES {
            self.problems.error(node.mark, format!("more than {MOST_NODES} values"));
            return false;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Seq(items)) => items.push(node),
            Some(Content::Map { entries, merged, key }) => match key.take() {
                None => {
                    let text = match node.value {
                        Value::Str(text) => Some(text),
                        Value::Int(number) => Some(number.to_string()),
                        Value::Bool(value) => Some(value.to_string()),
                        other => {
                            self.problems.error(node.mark, format!("a key must be text, this is {}", other.noun()));
                            None
                        }
                    };
                    *key = Some((text, node.mark));
                }
                Some((None, _)) => {}
                Some((Some(text), mark)) if text == "<<" => match node.value {
                    Value::Map(found) => merged.extend(found),
                    other => self.problems.error(mark, format!("`<<` takes a mapping, this is {}", other.noun())),
                },
                Some((Some(text), mark)) => {
                    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                        let message =
                            format!("`{text}` stands here a second time; the first is in line {}", first.mark.line);
                        self.problems.error(mark, message);
                    } else {
                        entries.push(Entry { key: text, mark, value: node });
                    }
                }
            },
        }
        true
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Seq(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
        _ => 0,
    }
}

/// A plain scalar by YAML 1.2's core schema.
fn resolve(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = match text.as_bytes() {
        [b'0', b'x', ..] => i64::from_str_radix(&text[2..], 16).ok(),
        [b'0', b'o', ..] => i64::from_str_radix(&text[2..], 8).ok(),
        _ => text.parse().ok(),
    };
    if let Some(number) = number {
        return Value::Int(number);
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::Float(number),
        _ => Value::Str(text),
    }
}

/// Puts `${env:NAME}` and `${env:NAME:-default}` in; `$$` is one dollar sign. What stands in a variable is not expanded again.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>, mark: Mark, problems: &mut Problems) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inside, after)) = rest.strip_prefix('{').and_then(|body| body.split_once('}')) {
            rest = after;
            let Some(reference) = inside.strip_prefix("env:") else {
                problems.error(
                    mark,
                    format!("`${{{inside}}}` is not known; write `${{env:NAME}}`, or `$$` for a dollar sign"),
                );
                continue;
            };
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            let usable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            match (usable, usable.then(|| env(name)).flatten().filter(|value| !value.is_empty()), default) {
                (false, ..) => problems.error(mark, format!("`{name}` can't be the name of an environment variable")),
                (true, Some(value), _) => out.push_str(&value),
                (true, None, Some(default)) => out.push_str(default),
                (true, None, None) => problems.error(
                    mark,
                    format!(
                        "the environment variable `{name}` is not set and has no default (`${{env:{name}:-default}}`)"
                    ),
                ),
            }
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Problems::new("f");
        let env = |name: &str| (name == "PORT").then(|| "4317".to_owned());
        let node = parse(text, &env, &mut problems);
        (node, problems.to_string().lines().map(str::to_owned).collect())
    }

    /// Marks count from 1, so that editors jump to the right place.
    #[test]
    fn marks() {
        let (node, problems) = read("a:\n  b: 1\n  c: [x]\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.expect("a tree");
        assert_eq!(node.get("a").expect("a").get("b").expect("b").mark, Mark { line: 2, column: 6 });
        assert_eq!(node.mark_of_pointer("/a/c/0"), Mark { line: 3, column: 7 });
    }

    /// A doubled key is an error that names both places.
    #[test]
    fn doubled_key() {
        let (_, problems) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(problems, ["f:3:1: error: `a` stands here a second time; the first is in line 1"]);
    }

    /// Variables are put in before the type is found, quoted text stays text, and `$$` is a dollar sign.
    #[test]
    fn environment() {
        let (node, problems) = read("a: ${env:PORT}\nb: \"${env:PORT}\"\nc: x${env:NO:-y}z\nd: $$${env:PORT} $x\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.expect("a tree");
        assert_eq!(node.get("a").expect("a").value, Value::Int(4317));
        assert_eq!(node.get("b").expect("b").value, Value::Str("4317".into()));
        assert_eq!(node.get("c").expect("c").value, Value::Str("xyz".into()));
        assert_eq!(node.get("d").expect("d").value, Value::Str("$4317 $x".into()));
        let (_, problems) = read("a: ${env:NO}\nb: ${file:x}\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    /// Aliases that double at each step end at the budget instead of filling the memory.
    #[test]
    fn alias_bomb() {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for i in 1..40 {
            text.push_str(&format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1));
        }
        let (node, problems) = read(&text);
        assert!(node.is_none());
        assert!(problems.last().is_some_and(|line| line.contains("aliases followed")), "{problems:?}");
    }

    /// A merge key fills in what is not there.
    #[test]
    fn merge_key() {
        let (node, problems) = read("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.expect("a tree");
        let more = node.get("more").expect("more");
        assert_eq!(more.get("x").expect("x").value, Value::Int(1));
        assert_eq!(more.get("y").expect("y").value, Value::Int(3));
    }
}
