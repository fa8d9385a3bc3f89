//! A series in the terminal: braille dots for the values, shade for the expected band, a line of scores, marks for findings.

use super::{
    run::Line,
    table::{moment, short},
};

/// Rows of characters; each holds four rows of dots.
const ROWS: usize = 10;
/// Bits of the dots of a braille character by column and row (Unicode block 2800).
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const RED: &str = "\u{1b}[31m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Draws one series. Colours only where the terminal takes them.
pub(super) fn chart(line: &Line, width: usize, colour: bool) -> String {
    let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else {
        return format!("{}: no values\n", line.label());
    };
    let span = (last.at - first.at).max(1) as f64;
    let column = |at: u64, columns: usize| (((at - first.at) as f64 / span) * (columns - 1) as f64) as usize;
    let bands = line.findings.iter().filter_map(|found| Some((found.at, found.finding.lower?, found.finding.upper?)));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in line.points.iter().map(|point| point.value).chain(bands.clone().flat_map(|band| [band.1, band.2])) {
        (low, high) = (low.min(value), high.max(value));
    }
    // Halves, because the difference of two large numbers may be none.
    let half = (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE);
    let height = |value: f64| ((value / 2.0 - low / 2.0) / half).clamp(0.0, 1.0);

    let dots_down = ROWS * 4;
    let mut dots = vec![vec![0_u32; width]; ROWS];
    let row_of = |value: f64| ((1.0 - height(value)) * (dots_down - 1) as f64).round() as usize;
    for point in &line.points {
        let (x, y) = (column(point.at, width * 2), row_of(point.value));
        dots[y / 4][x / 2] |= DOTS[x % 2][y % 4];
    }
    let mut shade = vec![vec![false; width]; ROWS];
    for (at, lower, upper) in bands {
        for row in shade.iter_mut().take(row_of(lower) / 4 + 1).skip(row_of(upper) / 4) {
            row[column(at, width)] = true;
        }
    }
    let (mut scores, mut marks) = (vec![None::<f64>; width], vec![false; width]);
    for point in &line.points {
        if let Some(score) = point.score {
            let cell = &mut scores[column(point.at, width)];
            *cell = Some(cell.map_or(score, |before| before.max(score)));
        }
    }
    for found in &line.findings {
        marks[column(found.at, width)] = true;
    }

    let paint = |text: &str, with: &str| if colour { format!("{with}{text}{PLAIN}") } else { text.to_owned() };
    let mut text = format!("{}\n", line.label());
    for row in 0..ROWS {
        let label = match row {
            0 => short(high),
            _ if row == ROWS - 1 => short(low),
            _ => String::new(),
        };
        text.push_str(&format!("{label:>10} "));
        for x in 0..width {
            match (dots[row][x], shade[row][x]) {
                (0, false) => text.push(' '),
                (0, true) => text.push_str(&paint("░", DIM)),
                (bits, _) => {
                    let dot = char::from_u32(0x2800 + bits).unwrap_or('?').to_string();
                    text.push_str(&if marks[x] { paint(&dot, RED) } else { dot });
                }
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    let level = |score: f64| LEVELS[((score / 16.0 * 7.0).round() as usize).min(7)];
    let scores: String = scores.iter().map(|score| score.map_or(' ', level)).collect();
    text.push_str(&format!("{:>10} {}\n", "score", scores.trim_end()));
    let marks: String = marks.iter().map(|mark| if *mark { '▲' } else { ' ' }).collect();
    if !marks.trim().is_empty() {
        text.push_str(&format!("{:>10} {}\n", "findings", paint(marks.trim_end(), RED)));
    }
    let (from, to) = (moment(first.at), moment(last.at));
    text.push_str(&format!(
        "{:>10} {from}{to:>padding$}\n",
        "UTC",
        padding = width.saturating_sub(from.len()).max(to.len() + 1)
    ));
    text
}
