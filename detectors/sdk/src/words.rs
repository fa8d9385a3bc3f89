//! Owns the few ways in which all detectors' findings speak of series and numbers.

use crate::{
    Series,
    math::{floor, log10},
};

/// A series in a few words: its statistic and name, and the first attributes that tell it from its siblings. At most about
/// 400 bytes.
#[must_use]
pub fn label(series: &Series) -> String {
    let statistic = series
        .attribute("foreshock.statistic")
        .map_or(String::new(), |statistic| format!("{} of ", cut(statistic, 16)));
    let mut label = format!("{statistic}{}", cut(&series.name, 96));
    let telling = series.attributes.iter().filter(|(key, _)| key != "foreshock.statistic" && key != "span.kind");
    for (k, (key, value)) in telling.take(3).enumerate() {
        label.push_str(if k == 0 { " with " } else { ", " });
        label.push_str(cut(key, 40));
        label.push('=');
        label.push_str(cut(value, 48));
    }
    label
}

/// At most `most` bytes of a text, cut between characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A number with three significant digits and its series' unit; the unit `1` is left out.
#[must_use]
pub fn number(value: f64, unit: &str) -> String {
    let mut text = short(value);
    if !unit.is_empty() && unit != "1" {
        text.push(' ');
        text.push_str(cut(unit, 24));
    }
    text
}

/// A number with three significant digits.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = if size == 0.0 { 0.0 } else { floor(log10(size)) };
    let decimals = (2.0 - digits).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    /// People read these: three digits, no tail of zeros, no unit where it says nothing, no character cut in two.
    #[test]
    fn numbers_and_names_are_short() {
        let shown = [0.0, 1.0, 0.123_456, 12_345.6, -2.5, 1e-7, 3.2e20].map(short);
        assert_eq!(shown, ["0", "1", "0.123", "12346", "-2.5", "1.00e-7", "3.20e20"]);
        assert_eq!((number(0.25, "1"), number(2.0, "s")), ("0.25".into(), "2 s".into()));
        assert_eq!(cut("aé", 2), "a");
        let attributes = [("foreshock.statistic", "p99"), ("http.route", "/cart")];
        let series = Series {
            id: 1,
            name: "latency".into(),
            unit: "s".into(),
            kind: Kind::Quantile,
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        };
        assert_eq!(label(&series), "p99 of latency with http.route=/cart");
    }
}
