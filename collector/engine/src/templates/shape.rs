//! Owns what varies for sure by its shape and may hold punctuation: URLs, paths, network and mail addresses, times.

use super::bytes::{ALPHA, DIGIT, HEX, NAME, STOP, is, skip};

/// Which rare shapes a line can hold at all; saves looking for them at every word.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    at: bool,
    scheme: bool,
}

impl Marks {
    /// The marks of a line.
    pub(super) fn of(line: &[u8]) -> Self {
        let thirds = line.get(2..).unwrap_or_default();
        let threes = line.iter().zip(&line[line.len().min(1)..]).zip(thirds);
        // Without an early end, so that it is compiled to look at many bytes at once.
        let scheme = threes.fold(false, |any, ((&a, &b), &c)| any | ((a == b':') & (b == b'/') & (c == b'/')));
        let at = line.iter().fold(false, |any, &byte| any | (byte == b'@'));
        Self { at, scheme }
    }

    /// Whether there is any.
    pub(super) fn any(self) -> bool {
        self.at || self.scheme
    }
}

/// How far the runs of scheme and mail characters around the scanner's position reach, so that each is walked only once.
pub(super) struct Runs {
    mail: usize,
    scheme: usize,
}

impl Runs {
    /// For a scan from `low` on.
    pub(super) fn new(low: usize) -> Self {
        Self { mail: low, scheme: low }
    }
}

/// A URL, path, network address or mail address that starts at `i`, and where it ends. The byte before is no letter.
pub(super) fn shape(line: &[u8], i: usize, before: u8, marks: Marks, runs: &mut Runs) -> Option<usize> {
    let byte = line[i];
    let unstopped = |from: usize| skip(line, from, |b| !is(b, STOP));
    if marks.scheme && is(byte, ALPHA) {
        if runs.scheme <= i {
            runs.scheme = skip(line, i, |b| is(b, ALPHA | DIGIT) || matches!(b, b'+' | b'.' | b'-'));
        }
        if line[runs.scheme..].starts_with(b"://") {
            return Some(unstopped(runs.scheme + 3));
        }
    }
    if matches!(byte, b'/' | b'~' | b'.') && !matches!(before, b'.' | b'~' | b'-' | b'/' | b'*' | b'\\') {
        let rest = &line[i..];
        let lead =
            if rest.starts_with(b"../") { 2 } else { usize::from(rest.starts_with(b"./") || rest.starts_with(b"~/")) };
        if rest.get(lead) == Some(&b'/') {
            let from = i + lead + 1;
            let last =
                line[from..unstopped(from)].iter().rposition(|&b| is(b, NAME) || matches!(b, b'*' | b'/' | b'-'));
            if let Some(last) = last {
                return Some(from + last + 1);
            }
        }
    }
    if is(byte, ALPHA) && line[i + 1..].starts_with(b":\\") {
        return Some(unstopped(i + 3));
    }
    if (is(byte, HEX) || byte == b':')
        && !matches!(before, b':' | b'.')
        && let Some(end) = address(line, i)
    {
        return Some(end);
    }
    if marks.at && (is(byte, NAME) || matches!(byte, b'.' | b'+' | b'-')) {
        if runs.mail <= i {
            runs.mail = skip(line, i, |b| is(b, NAME) || matches!(b, b'.' | b'+' | b'-'));
        }
        if line.get(runs.mail) == Some(&b'@') {
            let from = runs.mail + 1;
            let end = skip(line, from, |b| is(b, NAME) || matches!(b, b'.' | b'-'));
            let last = line[from..end].iter().rposition(|&b| is(b, NAME));
            if let Some(last) = last {
                return Some(from + last + 1);
            }
        }
    }
    None
}

/// An IPv6 or MAC address or a time of day: two or more groups of up to four hexadecimal digits, each with a colon.
fn address(line: &[u8], start: usize) -> Option<usize> {
    let mut i = start;
    let mut groups = 0;
    loop {
        let end = skip(&line[..line.len().min(i + 4)], i, |b| is(b, HEX));
        if line.get(end) != Some(&b':') {
            break;
        }
        groups += 1;
        i = end + 1;
    }
    if groups < 2 {
        return None;
    }
    let free = |at: usize| !line.get(at).is_some_and(|&b| is(b, NAME) || b == b':');
    let tail = skip(line, i, |b| is(b, HEX) || b == b'.');
    if line.get(tail) == Some(&b'%') {
        let zone = skip(line, tail + 1, |b| is(b, NAME));
        if zone > tail + 1 && free(zone) {
            return Some(zone);
        }
    }
    (i..=tail).rev().find(|&end| free(end))
}
