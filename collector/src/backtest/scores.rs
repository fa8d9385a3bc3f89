//! `--scores`: one CSV file for each series, in the tree of the data.

use super::{Format, session::Scored};
use anyhow::Context as _;
use foreshock_engine::UnixNanos;
use foreshock_scoring::nab;
use std::{fs::File, io::BufWriter, path::Path};

/// Scores below this do not start a refractory period (surprise 3.6 of 16): what is never told must not silence what is.
const FLOOR: f64 = 3.6 / 16.0;
/// A score this many times as high as the one before is heard within the period; of surprises, which are logarithms.
const ESCALATION: f64 = 1.12;
/// The period, as a share of the probation's rows.
const PERIOD: usize = 10;

/// The scores of a NAB series as NAB's threshold is put to them: after each one worth telling the next rows are held back, since
/// every row above the threshold is charged.
pub(super) fn for_nab(scored: &Scored) -> Vec<f64> {
    let period = nab::probation(scored.track.rows()) / PERIOD;
    nab::refractory(&scored.track.scores, period, FLOOR, ESCALATION)
}

/// Writes `timestamp,value,score,alarm` for each series below `folder`, and for each service of several series one with the largest
/// score of each row. Alarm is 1 while one is up; for NAB, whose rules charge each row, at the row at which it is raised. What
/// went before a recording, to learn from, has no rows.
pub(super) fn write(folder: &Path, format: Format, all: &[&Scored]) -> anyhow::Result<()> {
    for scored in all {
        let path = folder.join(format!("{}.csv", scored.path));
        let place = || format!("`{}` can't be written", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(place)?;
        }
        let file = File::create(&path).with_context(place)?;
        let mut out = csv::Writer::from_writer(BufWriter::new(file));
        out.write_record(["timestamp", "value", "score", "alarm"]).with_context(place)?;
        let is_nab = format == Format::Nab;
        let scores = if is_nab { for_nab(scored) } else { scored.track.scores.clone() };
        let mut up = vec![false; scored.track.rows()];
        for alarm in &scored.track.alarms {
            let last = if is_nab { alarm.first } else { alarm.last };
            let end = (last + 1).min(up.len());
            if let Some(part) = up.get_mut(alarm.first..end) {
                part.fill(true);
            }
        }
        for (row, up) in up.iter().enumerate().skip(scored.learned) {
            let time = match scored.texts.get(row) {
                Some(text) => text.clone(),
                None => UnixNanos(scored.track.times[row]).to_string(),
            };
            let value = scored.values.get(row).filter(|value| value.is_finite());
            let value = value.map(ToString::to_string).unwrap_or_default();
            let alarm = if *up { "1" } else { "0" };
            out.write_record([&time, &value, &scores[row].to_string(), alarm]).with_context(place)?;
        }
        out.flush().with_context(place)?;
    }
    Ok(())
}
