//! Checks as tables for a terminal.

use foreshock_console::selfcheck::{Check, Trial};
use std::fmt::Write as _;

const KINDS: [(&str, &str); 7] = [
    ("spike", "spike"),
    ("dip", "dip"),
    ("level_shift", "shift"),
    ("trend", "trend"),
    ("variance", "variance"),
    ("missing_data", "missing"),
    ("new_log_pattern", "new log"),
];

/// A table for each service: detectors down, kinds of anomalies across; how many of how many were seen, and after how long.
pub(super) fn table(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let _ = writeln!(out, "{}, as of {}, put into {} series:", check.service, check.checked, check.series.len());
        for series in &check.series {
            let _ = writeln!(out, "  {series}");
        }
        let _ = write!(out, "{:<18}", "");
        for (_, title) in KINDS {
            let _ = write!(out, "{title:>13}");
        }
        out.push_str("   blind\n");
        for detector in &check.detectors {
            let blind: Vec<String> = detector
                .blind
                .iter()
                .map(|blind| format!("{} series: {}", blind.series, blind.reason.replace('_', " ")))
                .collect();
            row(&mut out, &detector.detector, &detector.trials, &blind.join(", "));
        }
        row(&mut out, "an anomaly opens", &check.anomalies, "");
        out.push('\n');
    }
    out.push_str("Each cell: series on which it was seen, of those tried, and the median delay. Empty: nothing that it looks at.\n");
    out
}

fn row(out: &mut String, name: &str, trials: &[Trial], blind: &str) {
    let mut line = format!("{name:<18}");
    for (kind, _) in KINDS {
        let cell = trials.iter().find(|trial| trial.kind == kind).map_or(String::new(), |trial| {
            let delay = trial.delay_seconds.map_or(String::new(), |seconds| format!(" {}", span(seconds)));
            format!("{}/{}{delay}", trial.detected, trial.tried)
        });
        let _ = write!(line, "{cell:>13}");
    }
    let _ = writeln!(out, "{}", format!("{line}   {blind}").trim_end());
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
