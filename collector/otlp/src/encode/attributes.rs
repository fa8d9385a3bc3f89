//! Attributes of what Foreshock says, and the resources under which it says it.

use super::Own;
use foreshock_engine::{time::UnixNanos, window::ServiceKey};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use std::{collections::BTreeMap, fmt::Display, sync::Arc};

/// A service and its resource attributes; `None` stands for Foreshock itself.
pub(super) type About<'a> = Option<(&'a ServiceKey, &'a [(Arc<str>, Arc<str>)])>;

/// Items by the resource that they are about.
pub(super) struct Resources<'a, T> {
    own: &'a Own,
    index: BTreeMap<About<'a>, usize>,
    groups: Vec<(About<'a>, Vec<T>)>,
}

impl<'a, T> Resources<'a, T> {
    pub(super) fn new(own: &'a Own) -> Self {
        Self { own, index: BTreeMap::new(), groups: Vec::new() }
    }

    pub(super) fn add(&mut self, about: About<'a>, item: T) {
        let index = *self.index.entry(about).or_insert(self.groups.len());
        match self.groups.get_mut(index) {
            Some((_, items)) => items.push(item),
            None => self.groups.push((about, vec![item])),
        }
    }

    /// The groups in the order of first appearance.
    pub(super) fn finish(self) -> impl Iterator<Item = (Resource, Vec<T>)> {
        let own = self.own;
        self.groups.into_iter().map(move |(about, items)| (resource(about, own), items))
    }
}

/// The resource attributes, completed by the name of the service where they lack it.
fn resource(about: About<'_>, own: &Own) -> Resource {
    let mut list = List::default();
    match about {
        Some((service, attributes)) => {
            for (key, value) in attributes {
                list.text(key, &**value);
            }
            let has = |wanted: &str| attributes.iter().any(|(key, _)| &**key == wanted);
            if !has("service.name") {
                list.text("service.name", &*service.name);
            }
            if !has("service.namespace") && !service.namespace.is_empty() {
                list.text("service.namespace", &*service.namespace);
            }
        }
        None => {
            if !own.resource.iter().any(|(key, _)| key == "service.name") {
                list.text("service.name", super::SCOPE);
            }
            for (key, value) in &own.resource {
                list.text(key, value);
            }
        }
    }
    Resource { attributes: list.0, ..Resource::default() }
}

/// Attributes in the making. What is not known is left out.
#[derive(Default)]
pub(super) struct List(pub(super) Vec<KeyValue>);

impl List {
    fn push(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, key_strindex: 0 });
    }

    pub(super) fn text(&mut self, key: &str, value: impl Into<String>) {
        self.push(key, Value::StringValue(value.into()));
    }

    pub(super) fn int(&mut self, key: &str, value: i64) {
        self.push(key, Value::IntValue(value));
    }

    pub(super) fn double(&mut self, key: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.push(key, Value::DoubleValue(value));
        }
    }

    pub(super) fn time(&mut self, key: &str, time: impl Into<Option<UnixNanos>>) {
        if let Some(time) = time.into() {
            self.text(key, time.to_string());
        }
    }

    pub(super) fn texts<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let value = |value: T| AnyValue { value: Some(Value::StringValue(value.to_string())) };
        self.push(key, Value::ArrayValue(ArrayValue { values: values.into_iter().map(value).collect() }));
    }
}
