//! Text tables, and numbers as people read them.

use std::time::Duration;

/// Rows of cells under headings, each column as wide as its widest cell; the last one is not padded.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = headings.iter().map(|heading| width(heading)).collect();
    for row in rows {
        for (column, cell) in row.iter().enumerate().take(widths.len()) {
            widths[column] = widths[column].max(width(cell));
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[&str]| {
        let mut line = String::from(" ");
        for (column, cell) in cells.iter().enumerate() {
            line.push(' ');
            line.push_str(cell);
            let padding = widths.get(column).map_or(0, |width_of| width_of.saturating_sub(width(cell)));
            line.extend(std::iter::repeat_n(' ', padding + 1));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(headings);
    line(
        &widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// A number with four significant digits.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e12).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = if size == 0.0 { 0.0 } else { size.log10().floor() };
    let decimals = (3.0 - digits).clamp(0.0, 7.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Bytes in the largest fitting unit.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{:.0} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// A time in the largest fitting unit.
pub(super) fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    match nanos {
        small if small < 1e6 => format!("{:.1} us", small / 1e3),
        middle if middle < 1e9 => format!("{:.2} ms", middle / 1e6),
        large => format!("{:.2} s", large / 1e9),
    }
}

/// `YYYY-MM-DD HH:MM:SS` in UTC.
pub(super) fn moment(nanos: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| nanos.to_string(), |timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People compare numbers by their width and unit, so columns must line up and units must fit.
    #[test]
    fn tables_line_up() {
        let text = table(&["what", "n"], &[vec!["über".into(), "1".into()], vec!["b".into(), "22".into()]]);
        assert_eq!(text, "  what  n\n  ----  --\n  über  1\n  b     22\n");
        assert_eq!((short(0.0), short(1234.56), short(0.012_345_6)), ("0".into(), "1235".into(), "0.01235".into()));
        assert_eq!((short(1.5e-9), short(-2.0), short(f64::MAX)), ("1.50e-9".into(), "-2".into(), "1.80e308".into()));
        assert_eq!(
            (bytes(512), bytes(204_800), bytes(64 << 20)),
            ("512 B".into(), "200 KiB".into(), "64.0 MiB".into())
        );
        assert_eq!(time(Duration::from_nanos(1_500)), "1.5 us");
        assert_eq!(time(Duration::from_millis(2)), "2.00 ms");
        assert_eq!(moment(1_424_986_973_000_000_000), "2015-02-26 21:42:53");
    }
}
