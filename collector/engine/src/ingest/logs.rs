//! Log records: templates, severities and sample bodies.

use super::{
    family::{Family, FamilyKey, Owner, Shape, Statistic, Value, WindowBuilder},
    keys::{Interner, cut},
    settings::{IngestCounters, IngestSettings},
};
use crate::{
    facts::{GoldenSignals, LogExcerpt},
    lru::{LruSlab, Slot},
    templates::{TemplateLimits, TemplateMiner},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Bodies kept of each template in a window.
const MAX_SAMPLES: usize = 3;
/// Bytes kept of a body.
const MAX_SAMPLE_BYTES: usize = 512;
/// Templates counted in one window, times the number of templates that have a series.
const WINDOW_TEMPLATES: usize = 4;

/// Values of `log.severity`, with the smallest OTLP severity number of each; `unspecified` is 0.
const SEVERITIES: [(&str, i32); 7] =
    [("unspecified", 0), ("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

/// Log templates of a service.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Logs {
    miner: TemplateMiner,
    slab: LruSlab<Known>,
    by_template: BTreeMap<u64, Slot>,
    severities: Vec<Family>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Known {
    template: u64,
    text: Arc<str>,
    /// Records by severity range, ever.
    severities: [u64; SEVERITIES.len()],
    family: Family,
}

/// Records of one window.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct LogWindow {
    templates: BTreeMap<u64, Seen>,
    severities: [u64; SEVERITIES.len()],
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Seen {
    text: Option<Arc<str>>,
    count: u64,
    /// Records by severity number; anything out of range counts as 0.
    numbers: BTreeMap<u8, u64>,
    samples: Vec<Arc<str>>,
}

/// Index into [`SEVERITIES`] of an OTLP severity number.
pub(super) fn severity_range(number: i32) -> usize {
    match number {
        1..=24 => usize::try_from((number - 1) / 4 + 1).unwrap_or(0),
        _ => 0,
    }
}

// === impl Logs ===

impl Logs {
    pub(super) fn new(interner: &mut Interner) -> Self {
        let severities = SEVERITIES
            .iter()
            .map(|(name, _)| {
                let key = FamilyKey {
                    name: interner.share("log.records"),
                    unit: interner.share("{record}/s"),
                    shape: Shape::Severity,
                    attributes: vec![(interner.share("log.severity"), interner.share(name))],
                };
                Family::new(Arc::new(key))
            })
            .collect();
        Self {
            miner: TemplateMiner::new(TemplateLimits::default()),
            slab: LruSlab::default(),
            by_template: BTreeMap::new(),
            severities,
        }
    }

    /// Whether a restored state has all its parts.
    pub(super) fn is_whole(&self) -> bool {
        self.severities.len() == SEVERITIES.len()
    }

    pub(super) fn family_mut(&mut self, owner: Owner) -> Option<&mut Family> {
        match owner {
            Owner::Template(slot) => self.slab.get_mut(slot).map(|known| &mut known.family),
            Owner::Severity(at) => self.severities.get_mut(at),
            _ => None,
        }
    }

    /// Finds the template of a body and makes it known.
    #[expect(clippy::too_many_arguments, reason = "the parts of a service are borrowed apart from each other")]
    pub(super) fn observe(
        &mut self,
        body: &str,
        severity: usize,
        window: u64,
        settings: &IngestSettings,
        interner: &mut Interner,
        counters: &mut IngestCounters,
        closed: &mut Vec<u32>,
    ) -> (u64, Arc<str>) {
        let template = self.miner.observe(body);
        if let Some(known) = self.by_template.get(&template.id).and_then(|&slot| self.slab.get_mut(slot)) {
            known.severities[severity] += 1;
            if !Arc::ptr_eq(&known.text, &template.text) {
                known.text = Arc::clone(&template.text);
            }
            if known.family.used_in != window {
                known.family.used_in = window;
                self.slab.touch(self.by_template[&template.id]);
            }
            return (template.id, template.text);
        }
        while self.slab.len() >= settings.max_templates_per_service
            && let Some(known) = self.slab.oldest().and_then(|oldest| self.slab.remove(oldest))
        {
            self.by_template.remove(&known.template);
            closed.extend(known.family.ids());
            counters.evicted_templates += 1;
        }
        let mut severities = [0; SEVERITIES.len()];
        severities[severity] += 1;
        let key = template_key(template.id, &template.text, severity, interner);
        let mut family = Family::new(Arc::new(key));
        family.used_in = window;
        let known = Known { template: template.id, text: Arc::clone(&template.text), severities, family };
        let slot = self.slab.insert(known);
        self.by_template.insert(template.id, slot);
        (template.id, template.text)
    }

    /// The next template that became part of another one: its series goes, and its records count for the other.
    pub(super) fn poll_merge(&mut self, closed: &mut Vec<u32>) -> Option<(u64, u64)> {
        let merge = self.miner.poll_merge()?;
        if let Some(known) = self.by_template.remove(&merge.from).and_then(|slot| self.slab.remove(slot)) {
            closed.extend(known.family.ids());
            let into = self.by_template.get(&merge.into).and_then(|&slot| self.slab.get_mut(slot));
            if let Some(into) = into {
                for (sum, count) in into.severities.iter_mut().zip(known.severities) {
                    *sum += count;
                }
            }
        }
        Some((merge.from, merge.into))
    }
}

fn template_key(template: u64, text: &str, severity: usize, interner: &mut Interner) -> FamilyKey {
    FamilyKey {
        name: interner.share("log.template"),
        unit: interner.share("{record}/s"),
        shape: Shape::Template,
        attributes: vec![
            (interner.share("foreshock.template.id"), format!("{template:016x}").into()),
            (interner.share("foreshock.template.text"), text.into()),
            (interner.share("log.severity"), interner.share(SEVERITIES[severity].0)),
        ],
    }
}

/// The most frequent severity range; of equal ones the worst.
fn dominant(severities: &[u64; SEVERITIES.len()]) -> usize {
    (0..severities.len()).max_by_key(|&at| severities[at]).unwrap_or(0)
}

// === impl LogWindow ===

impl LogWindow {
    /// Counts one record by its severity.
    pub(super) fn count_severity(&mut self, severity: usize) {
        self.severities[severity] += 1;
    }

    /// Counts one record of a template.
    pub(super) fn add(&mut self, template: u64, text: Arc<str>, number: i32, body: &str, settings: &IngestSettings) {
        let max = settings.max_templates_per_service.saturating_mul(WINDOW_TEMPLATES);
        if self.templates.len() >= max && !self.templates.contains_key(&template) {
            return;
        }
        let seen = self.templates.entry(template).or_default();
        seen.text = Some(text);
        seen.count += 1;
        let number = u8::try_from(number).ok().filter(|number| *number <= 24).unwrap_or(0);
        *seen.numbers.entry(number).or_default() += 1;
        let sample = cut(body, MAX_SAMPLE_BYTES);
        if seen.samples.len() < MAX_SAMPLES && seen.samples.iter().all(|known| **known != *sample) {
            seen.samples.push(sample.into());
        }
    }

    /// Counts the records of one template for another one, of which it became part.
    pub(super) fn merge(&mut self, from: u64, into: u64) {
        let Some(old) = self.templates.remove(&from) else { return };
        let seen = self.templates.entry(into).or_default();
        seen.text = seen.text.take().or(old.text);
        seen.count += old.count;
        for (number, count) in old.numbers {
            *seen.numbers.entry(number).or_default() += count;
        }
        seen.samples.extend(old.samples);
        seen.samples.truncate(MAX_SAMPLES);
    }

    /// Adds rows for the templates and the severities.
    pub(super) fn close(
        &self,
        logs: &mut Logs,
        window_seconds: f64,
        interner: &mut Interner,
        builder: &mut WindowBuilder,
    ) {
        for (template, seen) in &self.templates {
            let Some(&slot) = logs.by_template.get(template) else { continue };
            let Some(known) = logs.slab.get_mut(slot) else { continue };
            let key = template_key(*template, &known.text, dominant(&known.severities), interner);
            if key != *known.family.key {
                known.family.rename(Arc::new(key));
            }
            let value = Value::single(seen.count as f64 / window_seconds, seen.count);
            builder.add(Owner::Template(slot), &mut known.family, Statistic::Only, value);
        }
        for (at, &count) in self.severities.iter().enumerate().filter(|(_, count)| **count > 0) {
            let value = Value::single(count as f64 / window_seconds, count);
            builder.add(Owner::Severity(at), &mut logs.severities[at], Statistic::Only, value);
        }
    }

    pub(super) fn count(&self, signals: &mut GoldenSignals) {
        signals.log_records = self.severities.iter().sum();
        signals.error_log_records = self.severities[5] + self.severities[6];
    }

    /// The most telling templates first: by severity, then by count.
    pub(super) fn into_excerpts(self, logs: &Logs, max: usize) -> Vec<LogExcerpt> {
        let mut excerpts: Vec<LogExcerpt> = self
            .templates
            .into_iter()
            .map(|(template, seen)| LogExcerpt {
                template,
                text: logs.miner.text(template).or(seen.text).unwrap_or_default(),
                severity_number: seen
                    .numbers
                    .iter()
                    .max_by_key(|(_, count)| **count)
                    .map_or(0, |(number, _)| i32::from(*number)),
                count: seen.count,
                samples: seen.samples,
            })
            .collect();
        excerpts.sort_by(|left, right| {
            let rank = |excerpt: &LogExcerpt| (severity_range(excerpt.severity_number), excerpt.count);
            rank(right).cmp(&rank(left)).then(left.template.cmp(&right.template))
        });
        excerpts.truncate(max);
        excerpts
    }
}
