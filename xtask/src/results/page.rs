//! The page: a table for each set, with what is known of others, and what was tuned on.

use super::{forecasts::Forecasts, logs::System};
use serde_json::Value;
use std::fmt::Write as _;

/// The page as it grows.
pub(super) struct Page(String);

/// A number with so many digits; `-` where there is none.
fn number(value: &Value, digits: usize) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}").trim_start_matches('0').to_owned())
}

/// A share or a rate.
fn share(value: &Value) -> String {
    number(value, 3)
}

impl Page {
    /// A page that begins with what is to be said of the data.
    pub(super) fn new(note: &str) -> Self {
        let mut page = "\
# Results on real data

`cargo xtask results --data DIR` makes this page from the raw files of public sets (`xtask/src/results` says which). Each recording goes
through the engine that live traffic goes through, in order of time, with the configuration that ships and one fixed threshold; nothing looks
ahead, and nothing is fitted to what is scored, except in the columns that say so. `collector/scoring` defines each measure. There is no
point-adjusted F1: random scores reach the top of it.
"
        .to_owned();
        if !note.is_empty() {
            let _ = write!(page, "\n{note}\n");
        }
        Self(page)
    }

    pub(super) fn text(&self) -> String {
        self.0.clone()
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// NAB: each configuration, the naive ones, and what is published.
    pub(super) fn nab(&mut self, reports: &[(String, Value)], published: Option<&Value>) {
        let Some((_, first)) = reports.first() else { return };
        self.line(&format!(
            "\n## Numenta Anomaly Benchmark: {} series, {} labelled windows\n",
            first["series"], first["first"]["measures"]["services"]["events"]
        ));
        self.line("\"As raised\" scores the alarms of the running program. \"By its own rules\" scores the row-by-row scores at the threshold that");
        self.line("serves the scored labels best, as NAB has it. Published detectors, except where noted, know each file's range beforehand.\n");
        self.line("| | as raised: standard / low FP / low FN | recall | precision | false alarms a series-day | median delay | by its own rules: standard / low FP / low FN |");
        self.line("| --- | --- | --- | --- | --- | --- | --- |");
        let profiles = |track: &Value| {
            let of = |name: &str| number(&track[name]["score"], 1);
            format!("{} / {} / {}", of("standard"), of("reward_low_fp"), of("reward_low_fn"))
        };
        let row = |name: &str, measures: &Value| {
            let (events, each) = (&measures["services"], &measures["series"]);
            format!(
                "| {name} | {} | {} | {} | {} | {} | {} |",
                profiles(&measures["nab_fixed_threshold"]),
                share(&events["recall"]),
                share(&events["precision"]),
                share(&each["false_per_day"]),
                hours(&events["delay_median_seconds"]),
                profiles(&measures["nab_threshold_fitted_to_this_data"]),
            )
        };
        for (name, report) in reports {
            self.line(&row(name, &report["first"]["measures"]));
        }
        for naive in first["naive"].as_array().into_iter().flatten() {
            self.line(&row(&escaped(naive), naive));
        }
        for (name, measures) in published.and_then(Value::as_object).into_iter().flatten() {
            let of = |key: &str| number(&measures[key], 1);
            self.line(&format!(
                "| published: {name} | | {} | {} | {} | | {} / {} / {} |",
                share(&measures["event_recall"]),
                share(&measures["event_precision"]),
                share(&measures["false_alarms_per_series_day"]),
                of("standard"),
                of("reward_low_FP"),
                of("reward_low_FN"),
            ));
        }
        self.line("\nPublished over all 58 series: ARTime 74.9 / 65.2 / 80.4, Numenta HTM 70.1 / 63.1 / 74.3, CAD OSE 69.9 / 67.0 / 73.2 (59.5 when it");
        self.line(
            "may not know the range beforehand, measured for this project), random cut forest 51.7 / 38.4 / 59.8.",
        );
    }

    /// Recorded servers: SMD or ASD.
    pub(super) fn servers(&mut self, set: &str, reports: &[(String, Value)]) {
        let Some((_, first)) = reports.first() else { return };
        let (title, anchors) = match set {
            "smd" => (
                "Server Machine Dataset",
                "VUS-PR .635 for the prototype of `joint`, .480 for PCA fitted offline, .668 for KMeansAD",
            ),
            _ => (
                "Application Server Dataset",
                "VUS-PR .656 for the prototype of `joint`, .366 for PCA fitted offline, .408 for KMeansAD",
            ),
        };
        self.line(&format!(
            "\n## {title}: {} server{}, {} series, {} labelled events\n",
            first["services"],
            if first["services"] == 1 { "" } else { "s" },
            first["series"],
            first["first"]["measures"]["overlap"]["events"]
        ));
        self.line("Learns from `train/`, then is scored on `test/` as it goes on learning. An alarm is right if a fifth of its rows are labelled; an event");
        self.line(
            "is found if an alarm is up in it. \"Raised in it\" asks more: that an alarm begins within the event.\n",
        );
        self.line("| | VUS-PR | precision | recall | false alarms a service-day | raised in it: precision | recall | false a service-day | median delay |");
        self.line("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        let row = |name: &str, measures: &Value| {
            let (lasting, raised) = (&measures["overlap"], &measures["services"]);
            format!(
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
                share(&measures["vus_pr"]),
                share(&lasting["precision"]),
                share(&lasting["recall"]),
                share(&lasting["false_per_day"]),
                share(&raised["precision"]),
                share(&raised["recall"]),
                share(&raised["false_per_day"]),
                hours(&raised["delay_median_seconds"]),
            )
        };
        for (name, report) in reports {
            self.line(&row(name, &report["first"]["measures"]));
        }
        for naive in first["naive"].as_array().into_iter().flatten() {
            self.line(&row(&escaped(naive), naive));
        }
        self.line(&format!("\nKnown on servers that were not tuned on: {anchors} (measured for this project)."));
    }

    /// Log templates.
    pub(super) fn logs(&mut self, systems: &[System]) {
        self.line(&format!(
            "\n## LogHub: {} systems of 2,000 lines, `foreshock templates`, one configuration\n",
            systems.len()
        ));
        self.line("| system | grouping accuracy | truth |");
        self.line("| --- | --- | --- |");
        for system in systems {
            let truth = if system.is_corrected { "corrected" } else { "as published" };
            self.line(&format!("| {} | {:.3} | {truth} |", system.name, system.accuracy));
        }
        let many = systems.len().max(1) as f64;
        let mean = systems.iter().map(|system| system.accuracy).sum::<f64>() / many;
        let lines: f64 = systems.iter().map(|system| system.lines).sum();
        // As many lines of each system, one after the other.
        let rate =
            |of: fn(&System) -> f64| lines / systems.iter().map(|system| system.lines / of(system)).sum::<f64>() / 1e6;
        self.line(&format!(
            "\nMean {mean:.3}. On one core {:.2} million lines a second with a warm cache, {:.2} million while learning from nothing.",
            rate(|system| system.warm),
            rate(|system| system.learning)
        ));
        self.line("Known: .76 for Drain3 with one configuration (16 systems), .865 for Drain and .98 for Brain tuned to each system; 229,000 lines a second");
        self.line("for ByteBrain.");
    }

    /// Forecasts on generated cases.
    pub(super) fn forecasts(&mut self, forecasts: &Forecasts) {
        let Forecasts { seed, cases, alone, engine } = forecasts;
        self.line(&format!("\n## Forecasts: seven kinds of rises that reach their limit, eleven kinds of series that don't, {cases} cases each, seed {seed}\n"));
        self.line("Recall asks for a tenth of the rise to be left at the first warning.\n");
        self.line("| | recall | median lead, of the rise | precision (rising kinds only) | false warnings a series-day | 80 % intervals that held | median error of the first time |");
        self.line("| --- | --- | --- | --- | --- | --- | --- |");
        let rows = [
            ("the detector by itself", alone),
            ("through the live engine", engine),
            (
                "the same, four kinds added later (heaps that leak, disks that fill again, a busy day, slow growth)",
                &engine["added"],
            ),
        ];
        for (name, figures) in rows {
            let of = |key: &str| share(&figures[key]);
            self.line(&format!(
                "| {name} | {} | {} | {} ({}) | {} | {} | {} |",
                of("recall"),
                of("lead"),
                of("precision"),
                of("precision_breaching"),
                of("false_per_day"),
                of("coverage"),
                of("first_error"),
            ));
        }
        self.line("| prototype | .951 | .44 | .687 (.955) | .041 | .81 to .92 | .15 |");
        self.line("| Prometheus `predict_linear`, 6 h for 24 h | .622 | .18 | .150 (.694) | .71 | | |");
        let warned = |kind: &str| share(&engine["kinds"][kind]["warned"]);
        self.line(&format!(
            "\nShare of cases warned of, of those that never reach the limit: {} of rises that turn back, {} of warm-ups that level off.",
            warned("TurnBack"),
            warned("WarmUp")
        ));
    }

    /// The demonstration's stories.
    pub(super) fn demo(&mut self, seeds: u64, table: &str) {
        self.line(&format!("\n## Demonstration: each story with {seeds} seeds, beside static thresholds (p95 500 ms, errors 5 %, disk 90 %)\n"));
        self.line(table);
        self.line("");
    }
}

/// The name of a naive detector, as a cell.
fn escaped(naive: &Value) -> String {
    naive["name"].as_str().unwrap_or("naive").replace('|', "\\|")
}

/// Seconds as minutes or hours.
fn hours(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "-".to_owned(),
        Some(seconds) if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A reader must be able to trust the page: each figure stands in the column that names it, and what is missing is a dash.
    #[test]
    fn figures_stand_where_they_belong() {
        let track = |score: f64| json!({ "standard": { "score": score }, "reward_low_fp": { "score": 60.0 }, "reward_low_fn": { "score": 70.06 } });
        let measures = json!({
            "services": { "events": 57, "recall": 0.8, "precision": 0.5, "delay_median_seconds": 7_560.0 },
            "series": { "false_per_day": 0.0412 },
            "nab_fixed_threshold": track(68.0), "nab_threshold_fitted_to_this_data": track(71.96),
        });
        let report = json!({ "series": 31, "first": { "measures": measures }, "naive": [{ "name": "|dx|", "services": { "recall": null } }] });
        let mut page = Page::new("Tuned on half of it.");
        page.nab(&[("as shipped".to_owned(), report)], None);
        let text = page.text();
        assert!(
            text.contains("| as shipped | 68.0 / 60.0 / 70.1 | .800 | .500 | .041 | 2.1 h | 72.0 / 60.0 / 70.1 |"),
            "{text}"
        );
        assert!(text.contains(r"| \|dx\| | - / - / - | - |") && text.contains("Tuned on half of it."), "{text}");
    }
}
