//! Numbers with units, as people read them.

use crate::time::UnixNanos;

/// A unit as it is shown: how much to multiply by, and what to write behind the number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shown {
    factor: f64,
    suffix: &'static str,
}

/// `value` in the UCUM unit `unit`, with three significant digits: `0.31` `s` is `310 ms`, `0.02` `1` is `2 %`,
/// `1572864` `By` is `1.5 MiB`, `12` `{request}/s` is `12/s`. An unknown unit is written as it stands.
///
/// The unit `1` is read as a ratio up to 10, beyond that as a plain number.
#[must_use]
pub fn format_value(value: f64, unit: &str) -> String {
    let (shown, tail) = choose(value.abs(), unit);
    format!("{}{}{}", number(value * shown.factor), shown.suffix, tail)
}

/// Two values in the same unit: `95 to 140 ms`. Both are written on the scale of the larger one.
#[must_use]
pub fn format_range(lower: f64, upper: f64, unit: &str) -> String {
    let (shown, tail) = choose(lower.abs().max(upper.abs()), unit);
    format!("{} to {}{}{}", number(lower * shown.factor), number(upper * shown.factor), shown.suffix, tail)
}

/// The scale for a magnitude, and what is left of the unit (`/s` of `By/s`).
fn choose(magnitude: f64, unit: &str) -> (Shown, String) {
    let (base, per) = match unit.split_once('/') {
        Some((base, per)) if !per.is_empty() => (base, format!("/{per}")),
        _ => (unit, String::new()),
    };
    let plain = Shown { factor: 1.0, suffix: "" };
    let shown = match base {
        "s" => seconds(magnitude, 1.0),
        "ms" => seconds(magnitude * 1e-3, 1e-3),
        "us" => seconds(magnitude * 1e-6, 1e-6),
        "ns" => seconds(magnitude * 1e-9, 1e-9),
        "min" => seconds(magnitude * 60.0, 60.0),
        "h" => seconds(magnitude * 3600.0, 3600.0),
        "By" | "bytes" => bytes(magnitude, 1.0),
        "kBy" => bytes(magnitude * 1e3, 1e3),
        "KiBy" => bytes(magnitude * 1024.0, 1024.0),
        "MBy" => bytes(magnitude * 1e6, 1e6),
        "MiBy" => bytes(magnitude * 1_048_576.0, 1_048_576.0),
        "GiBy" => bytes(magnitude * 1_073_741_824.0, 1_073_741_824.0),
        "1" if per.is_empty() && magnitude <= 10.0 => Shown { factor: 100.0, suffix: " %" },
        "%" => Shown { factor: 1.0, suffix: " %" },
        "Cel" => Shown { factor: 1.0, suffix: " °C" },
        "" | "1" => plain,
        other if other.starts_with('{') => plain,
        other => return (plain, format!(" {other}{per}")),
    };
    (shown, per)
}

/// A scale for `magnitude` seconds; `per_unit` seconds are one of the unit given.
fn seconds(magnitude: f64, per_unit: f64) -> Shown {
    let (scale, suffix) = match magnitude {
        0.0 => (1.0, " s"),
        m if m < 1e-6 => (1e9, " ns"),
        m if m < 1e-3 => (1e6, " µs"),
        m if m < 1.0 => (1e3, " ms"),
        m if m < 120.0 => (1.0, " s"),
        m if m < 7_200.0 => (1.0 / 60.0, " min"),
        m if m < 172_800.0 => (1.0 / 3_600.0, " h"),
        _ => (1.0 / 86_400.0, " d"),
    };
    Shown { factor: scale * per_unit, suffix }
}

/// A binary scale for `magnitude` bytes; `per_unit` bytes are one of the unit given.
fn bytes(magnitude: f64, per_unit: f64) -> Shown {
    let (scale, suffix) = match magnitude {
        m if m < 1024.0 => (1.0, " B"),
        m if m < 1_048_576.0 => (1024.0, " KiB"),
        m if m < 1_073_741_824.0 => (1_048_576.0, " MiB"),
        m if m < 1_099_511_627_776.0 => (1_073_741_824.0, " GiB"),
        _ => (1_099_511_627_776.0, " TiB"),
    };
    Shown { factor: per_unit / scale, suffix }
}

/// Three significant digits without trailing zeros; thousands are parted by commas; very large and very small numbers in
/// scientific notation.
#[must_use]
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return "no number".to_owned();
    }
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    if magnitude >= 999.5 {
        return grouped(value.round());
    }
    let decimals = match magnitude {
        m if m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.09995 => 3,
        m if m >= 0.009_995 => 4,
        m if m >= 0.000_999_5 => 5,
        _ => 6,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A whole number with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() + 8);
    if value < 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time of day as `10:05`, in UTC.
#[must_use]
pub fn clock(time: UnixNanos) -> String {
    let minutes = time.0 / 60_000_000_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// A span of time in words: `40 seconds`, `2 minutes`, `3 hours`.
#[must_use]
pub fn span_in_words(nanos: u64) -> String {
    let seconds = (nanos + 500_000_000) / 1_000_000_000;
    let (count, unit) = match seconds {
        s if s < 60 => (s, "second"),
        s if s < 5_400 => ((s + 30) / 60, "minute"),
        s if s < 129_600 => ((s + 1_800) / 3_600, "hour"),
        s => ((s + 43_200) / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People read these numbers at night: scale and unit must be the ones they think in.
    #[test]
    fn values_are_shown_on_a_human_scale() {
        for (value, unit, text) in [
            (0.31, "s", "310 ms"),
            (0.0000004, "s", "400 ns"),
            (310.0, "ms", "310 ms"),
            (1250.0, "ms", "1.25 s"),
            (90.0, "s", "90 s"),
            (600.0, "s", "10 min"),
            (0.0, "s", "0 s"),
            (1_572_864.0, "By", "1.5 MiB"),
            (512.0, "By", "512 B"),
            (2_097_152.0, "By/s", "2 MiB/s"),
            (3.0, "MiBy", "3 MiB"),
            (0.0213, "1", "2.13 %"),
            (42.0, "1", "42"),
            (87.26, "%", "87.3 %"),
            (12.0, "{request}/s", "12/s"),
            (12.0, "{connection}", "12"),
            (71.5, "Cel", "71.5 °C"),
            (3.5, "V", "3.5 V"),
            (1_234_567.0, "", "1,234,567"),
            (-0.25, "s", "-250 ms"),
            (f64::NAN, "", "no number"),
        ] {
            assert_eq!(format_value(value, unit), text, "{value} {unit}");
        }
    }

    /// Both ends of a range must be comparable at a glance, so they share one unit.
    #[test]
    fn both_ends_of_a_range_share_the_unit() {
        assert_eq!(format_range(0.095, 0.14, "s"), "95 to 140 ms");
        assert_eq!(format_range(0.0, 0.05, "1"), "0 to 5 %");
        assert_eq!(format_range(0.5, 2.0, "s"), "0.5 to 2 s");
        assert_eq!(format_range(1024.0, 1_048_576.0, "By"), "0.000977 to 1 MiB");
    }

    /// Rounding must not invent digits or drop thousands.
    #[test]
    fn numbers_keep_three_digits() {
        for (value, text) in [
            (999.6, "1,000"),
            (99.96, "100"),
            (9.996, "10"),
            (0.1234, "0.123"),
            (1e-7, "1.00e-7"),
            (-12_345.6, "-12,346"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    /// Times in sentences are UTC and to the minute.
    #[test]
    fn times_and_spans_are_words() {
        assert_eq!(clock(UnixNanos(1_675_080_312_000_000_000)), "12:05");
        assert_eq!(span_in_words(40_000_000_000), "40 seconds");
        assert_eq!(span_in_words(61_000_000_000), "1 minute");
        assert_eq!(span_in_words(120_000_000_000), "2 minutes");
        assert_eq!(span_in_words(7_200_000_000_000), "2 hours");
    }
}
