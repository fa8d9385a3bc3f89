//! `--scores`: one CSV file for each series, in the tree of the data.

use super::{Format, session::Scored};
use anyhow::Context as _;
use foreshock_engine::UnixNanos;
use foreshock_scoring::nab;
use std::{fs::File, io::BufWriter, path::Path};

/// Scores below this do not start a refractory period (surprise 2 of 16): what is never told must not silence what is.
const FLOOR: f64 = 2.0 / 16.0;
/// A score this many times as high as the one before is heard within the period; of surprises, which are logarithms.
const ESCALATION: f64 = 1.12;
/// The period, as a share of the probation's rows.
const PERIOD: usize = 10;

/// The scores of a NAB series as NAB's threshold is put to them: rows at which the engine raised an alarm stand in the upper half by
/// their surprise, all others in the lower half. After each row worth telling the next ones are held back, since every row above
/// the threshold is charged. Looks at no later row.
pub(super) fn for_nab(scored: &Scored) -> Vec<f64> {
    let track = &scored.track;
    let period = nab::probation(track.rows()) / PERIOD;
    let mut scores = nab::refractory(&track.scores, period, FLOOR, ESCALATION);
    let mut raised = vec![false; track.rows()];
    for alarm in &track.alarms {
        if let Some(raised) = raised.get_mut(alarm.first) {
            *raised = true;
        }
    }
    let mut last: Option<usize> = None;
    for (row, score) in scores.iter_mut().enumerate() {
        if raised[row] {
            last = Some(row);
            *score = (1.0 + track.score(row)) / 2.0;
        } else {
            *score = if last.is_some_and(|last| row - last <= period) { 0.0 } else { *score / 2.0 };
        }
    }
    scores
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

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_scoring::{Rows, Track};

    /// What the engine told stands above all that it did not, and a row never depends on a later one: the score of a row is the same
    /// whatever follows.
    #[test]
    fn what_was_told_ranks_first() {
        let mut scores = vec![0.05; 400];
        (scores[100], scores[200], scores[203], scores[300]) = (0.3, 0.4, 0.6, 0.2);
        let alarms = vec![Rows { first: 300, last: 320 }];
        let track = Track { times: (0..400).collect(), scores, alarms, ..Track::default() };
        let scored = Scored { track, ..Scored::default() };
        let told = for_nab(&scored);
        assert_eq!((told[100], told[200], told[203], told[300]), (0.15, 0.2, 0.3, 0.6));
        assert_eq!((told[101], told[301], told[307]), (0.0, 0.0, 0.025));
        let mut changed = scored.clone();
        changed.track.scores[350..].fill(0.9);
        changed.track.alarms.push(Rows { first: 360, last: 370 });
        assert_eq!(for_nab(&changed)[..350], told[..350]);
    }
}
