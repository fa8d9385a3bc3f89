//! Which logs go with an incident: templates that are new or more frequent, in groups of like wording.
//!
//! Templates are weighed by TF-IDF (Spärck Jones 1972; smoothed as `ln((1 + n) / (1 + df)) + 1`, rows scaled to length 1) and
//! grouped by k-means. The number of groups, at most six, is the one with the best silhouette (Rousseeuw 1987). The first
//! centres are chosen farthest first instead of by chance, and linfa computes on its threads only what belongs to one
//! row, so the answer is the same on any number of threads.

use super::services::ServiceMemory;
use crate::{event::LogCluster, time::UnixNanos, window::ServiceKey};
use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array2, ArrayView1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Templates of one service that are grouped, those with most records first.
const MAX_DOCUMENTS: usize = 48;
/// Words that are weighed.
const MAX_WORDS: usize = 256;
/// Groups of one service.
const MAX_GROUPS: usize = 6;
/// Groups below this silhouette are no groups.
const MIN_SILHOUETTE: f64 = 0.15;
/// A template counts as more frequent from this many times its earlier rate, one of errors sooner. Errors that come as often as ever
/// are not what an incident is about.
const MORE: f64 = 3.0;
const MORE_ERRORS: f64 = 2.0;
/// OTLP severity number from which a record is an error.
const ERROR: i32 = 17;

/// One template with what was seen of it.
#[derive(Clone, Debug)]
struct Document {
    text: Arc<str>,
    sample: Arc<str>,
    records: u64,
    errors: u64,
}

/// The dominant groups of logs of `service` in `(from, to]`, most records first. `before` is how long ago the comparison
/// begins, in nanoseconds before `from`.
pub(super) fn clusters(
    service: &ServiceKey,
    memory: &ServiceMemory,
    (from, to): (UnixNanos, UnixNanos),
    before: u64,
) -> Vec<LogCluster> {
    let (documents, error_records) = documents(memory, from, to, before);
    if documents.is_empty() {
        return Vec::new();
    }
    let (words, matrix) = weigh(&documents);
    let groups = group(&matrix, &documents);
    let mut clusters: Vec<LogCluster> = groups
        .iter()
        .map(|members| {
            let (count, errors) = members
                .iter()
                .fold((0, 0), |(count, errors), m| (count + documents[*m].records, errors + documents[*m].errors));
            // Documents come with most records first, and members ascend.
            let head = &documents[members[0]];
            LogCluster {
                service: service.clone(),
                text: Arc::clone(&head.text),
                terms: terms(&words, &matrix, members),
                count,
                share: if error_records == 0 { 0.0 } else { (errors as f64 / error_records as f64).min(1.0) },
                sample: Arc::clone(&head.sample),
            }
        })
        .collect();
    clusters.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    clusters
}

/// What is new or more frequent, most records first; and all error records.
fn documents(memory: &ServiceMemory, from: UnixNanos, to: UnixNanos, before: u64) -> (Vec<Document>, u64) {
    let mut during: BTreeMap<u64, Document> = BTreeMap::new();
    let mut earlier: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut error_records, mut windows, mut earlier_windows) = (0, 0u32, 0u32);
    for stretch in &memory.logs {
        if stretch.end > from && stretch.end <= to {
            windows += stretch.windows;
            error_records += stretch.error_records;
            for (template, count) in &stretch.counts {
                let Some(known) = memory.templates.get(template) else { continue };
                let document = during.entry(*template).or_insert_with(|| Document {
                    text: Arc::clone(&known.text),
                    sample: Arc::clone(&known.sample),
                    records: 0,
                    errors: 0,
                });
                document.records += count;
                document.errors += if known.severity_number >= ERROR { *count } else { 0 };
            }
        } else if stretch.end <= from && stretch.end > from.minus(before) {
            earlier_windows += stretch.windows;
            for (template, count) in &stretch.counts {
                *earlier.entry(*template).or_default() += count;
            }
        }
    }
    let rate = |count: u64, windows: u32| count as f64 / f64::from(windows.max(1));
    let mut documents: Vec<(u64, Document)> = during
        .into_iter()
        .filter(|(template, document)| {
            let earlier = rate(earlier.get(template).copied().unwrap_or(0), earlier_windows);
            let more = if document.errors > 0 { MORE_ERRORS } else { MORE };
            rate(document.records, windows) >= more * earlier
        })
        .collect();
    documents.sort_by(|(a_id, a), (b_id, b)| b.records.cmp(&a.records).then(a_id.cmp(b_id)));
    documents.truncate(MAX_DOCUMENTS);
    let counted: u64 = documents.iter().map(|(_, document)| document.errors).sum();
    (documents.into_iter().map(|(_, document)| document).collect(), error_records.max(counted))
}

/// Lower-case words of a text; variable parts and numbers are left out.
fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.chars().count() >= 2 && word.chars().any(char::is_alphabetic))
        .filter(|word| !word.chars().any(|c| c.is_ascii_digit()))
        .map(str::to_lowercase)
}

/// The words and one weighed row per document.
fn weigh(documents: &[Document]) -> (Vec<String>, Array2<f64>) {
    let mut frequency: BTreeMap<String, usize> = BTreeMap::new();
    for document in documents {
        let distinct: BTreeSet<String> = words_of(&document.text).chain(words_of(&document.sample)).collect();
        for word in distinct {
            *frequency.entry(word).or_default() += 1;
        }
    }
    let mut ranked: Vec<(String, usize)> = frequency.into_iter().collect();
    ranked.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    ranked.truncate(MAX_WORDS);
    ranked.sort();
    let place: BTreeMap<&str, usize> =
        ranked.iter().enumerate().map(|(place, (word, _))| (word.as_str(), place)).collect();
    let mut matrix = Array2::zeros((documents.len(), ranked.len()));
    let count = documents.len() as f64;
    for (row, document) in documents.iter().enumerate() {
        // The template tells more than one sample of it, so its words count twice.
        for (word, weight) in
            words_of(&document.text).map(|w| (w, 2.0)).chain(words_of(&document.sample).map(|w| (w, 1.0)))
        {
            if let Some(&column) = place.get(word.as_str()) {
                let idf = ((1.0 + count) / (1.0 + ranked[column].1 as f64)).ln() + 1.0;
                matrix[(row, column)] += weight * idf;
            }
        }
        let length = matrix.row(row).iter().map(|x: &f64| x * x).sum::<f64>().sqrt();
        if length > 0.0 {
            matrix.row_mut(row).mapv_inplace(|x| x / length);
        }
    }
    (ranked.into_iter().map(|(word, _)| word).collect(), matrix)
}

/// Members of each group, ascending; no group is empty.
fn group(matrix: &Array2<f64>, documents: &[Document]) -> Vec<Vec<usize>> {
    let alone = vec![(0..documents.len()).collect::<Vec<_>>()];
    if documents.len() == 1 || matrix.ncols() == 0 {
        return alone;
    }
    if documents.len() == 2 {
        // Two texts are one group if they share more than half of their weight.
        let like = matrix.row(0).dot(&matrix.row(1)) > 0.5;
        return if like { alone } else { vec![vec![0], vec![1]] };
    }
    let mut best = (MIN_SILHOUETTE, alone);
    for k in 2..=MAX_GROUPS.min(documents.len() - 1) {
        let Some(groups) = k_means(matrix, k) else { continue };
        let silhouette = silhouette(matrix, &groups);
        if silhouette > best.0 + 1e-9 {
            best = (silhouette, groups);
        }
    }
    best.1
}

/// k-means from centres chosen farthest first, beginning with the first row.
fn k_means(matrix: &Array2<f64>, k: usize) -> Option<Vec<Vec<usize>>> {
    let mut centres = vec![0];
    while centres.len() < k {
        let nearest = |row: usize| {
            centres.iter().map(|c| distance(matrix.row(row), matrix.row(*c))).fold(f64::INFINITY, f64::min)
        };
        let farthest = (0..matrix.nrows())
            .map(|row| (nearest(row), row))
            .fold((0.0, None), |best, (far, row)| if far > best.0 + 1e-12 { (far, Some(row)) } else { best });
        centres.push(farthest.1?);
    }
    let mut first = Array2::zeros((k, matrix.ncols()));
    for (place, row) in centres.iter().enumerate() {
        first.row_mut(place).assign(&matrix.row(*row));
    }
    let model = KMeans::params(k)
        .n_runs(1)
        .max_n_iterations(50)
        .init_method(KMeansInit::Precomputed(first))
        .fit(&DatasetBase::from(matrix.view()))
        .ok()?;
    let assigned = model.predict(matrix);
    let mut groups = vec![Vec::new(); k];
    for (row, group) in assigned.iter().enumerate() {
        groups.get_mut(*group)?.push(row);
    }
    groups.retain(|members| !members.is_empty());
    groups.sort();
    Some(groups)
}

fn distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// The mean over all rows of how much nearer a row is to its own group than to the next one, -1 to 1; 0 for rows that are
/// alone.
fn silhouette(matrix: &Array2<f64>, groups: &[Vec<usize>]) -> f64 {
    let mean = |row: usize, members: &[usize]| {
        let others = members.iter().filter(|member| **member != row);
        let (sum, count) =
            others.fold((0.0, 0.0), |(sum, count), m| (sum + distance(matrix.row(row), matrix.row(*m)), count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let mut sum = 0.0;
    for (own, members) in groups.iter().enumerate() {
        for row in members.iter().filter(|_| members.len() > 1) {
            let inside = mean(*row, members);
            let others = groups.iter().enumerate().filter(|(group, _)| *group != own);
            let outside = others.map(|(_, members)| mean(*row, members)).fold(f64::INFINITY, f64::min);
            let larger = inside.max(outside);
            if larger > 0.0 && outside.is_finite() {
                sum += (outside - inside) / larger;
            }
        }
    }
    sum / matrix.nrows().max(1) as f64
}

/// The words that tell a group from the rest, at most four, most telling first.
fn terms(words: &[String], matrix: &Array2<f64>, members: &[usize]) -> Vec<String> {
    let others: Vec<usize> = (0..matrix.nrows()).filter(|row| !members.contains(row)).collect();
    let mean = |rows: &[usize], column: usize| {
        rows.iter().map(|row| matrix[(*row, column)]).sum::<f64>() / rows.len().max(1) as f64
    };
    let mut telling: Vec<(f64, &String)> = words
        .iter()
        .enumerate()
        .map(|(column, word)| (mean(members, column) - mean(&others, column), word))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    telling.sort_by(|(a, a_word), (b, b_word)| b.total_cmp(a).then_with(|| a_word.cmp(b_word)));
    telling.into_iter().take(4).map(|(_, word)| word.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::LogExcerpt;

    fn excerpt(template: u64, text: &str, severity_number: i32, count: u64) -> LogExcerpt {
        LogExcerpt { template, text: text.into(), severity_number, count, samples: vec![text.into()] }
    }

    fn story() -> ServiceMemory {
        let usual = || {
            let refused = excerpt(7, "card <*> refused", 17, 8);
            vec![excerpt(1, "order <*> placed", 9, 50), excerpt(2, "cache miss for <*>", 9, 20), refused]
        };
        let mut memory = ServiceMemory::default();
        for minute in 1..=10u64 {
            let mut excerpts = usual();
            let mut error_records = 8;
            if minute > 7 {
                excerpts.push(excerpt(3, "connection pool timeout after <*> ms", 17, 70));
                excerpts.push(excerpt(4, "connection pool exhausted, timeout", 17, 4));
                excerpts.push(excerpt(5, "retry payment request <*>", 17, 20));
                excerpts.push(excerpt(6, "payment request gave up", 17, 6));
                error_records += 100;
            }
            memory.remember_logs(UnixNanos(minute * 60_000_000_000), error_records, &excerpts);
        }
        memory
    }

    fn grouped() -> Vec<(String, u64, f64)> {
        let range = (UnixNanos(7 * 60_000_000_000), UnixNanos(10 * 60_000_000_000));
        clusters(&ServiceKey::new("", "checkout"), &story(), range, 600_000_000_000)
            .into_iter()
            .map(|cluster| (cluster.text.to_string(), cluster.count, cluster.share))
            .collect()
    }

    /// The share in the sentence ("69 % of its error logs") comes from here; usual logs must not take part, and of usual errors only the number.
    #[test]
    fn like_errors_form_one_group_with_their_share() {
        assert_eq!(
            grouped(),
            [
                ("connection pool timeout after <*> ms".to_owned(), 222, 222.0 / 324.0),
                ("retry payment request <*>".to_owned(), 78, 78.0 / 324.0),
            ]
        );
    }

    /// The same input gives the same answer, whatever the number of threads that linfa finds.
    #[test]
    fn groups_do_not_depend_on_the_number_of_threads() {
        let texts =
            ["disk full on", "disk almost full on", "user logged in", "user logged out", "gc pause of", "slow query"];
        let documents: Vec<Document> = (0..40)
            .map(|i| Document {
                text: format!("{} part{}", texts[i % 6], char::from(b'a' + (i / 6) as u8)).into(),
                sample: texts[i % 6].into(),
                records: 100 - i as u64,
                errors: 0,
            })
            .collect();
        let (_, matrix) = weigh(&documents);
        let answers: Vec<_> = [1, 2, 7]
            .into_iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.map(|pool| pool.install(|| group(&matrix, &documents))).ok()
            })
            .collect();
        assert!(answers[0].as_ref().is_some_and(|groups| groups.len() > 1));
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}
