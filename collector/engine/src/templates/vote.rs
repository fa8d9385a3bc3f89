//! Owns the decision how many different values a position must have shown before it counts as varying.

use super::{
    token::{Class, Line},
    views::View,
    words,
};
use std::{cmp::Reverse, collections::BTreeSet};

/// Lines that differ in more places are not compared further.
const MOST_POSITIONS: usize = 8;
const NEVER: usize = usize::MAX;

/// The positions at which `line` should become free because the bucket's lines differ there often enough, and which lines
/// of the bucket say so. `None` if the bucket gives no reason to.
pub(super) fn generalise(line: &Line, view: View, bucket: &[&Line]) -> Option<(Vec<usize>, Vec<usize>)> {
    let mut votes: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for (voter, other) in bucket.iter().enumerate() {
        let Some(positions) = differences(line, other) else { continue };
        match votes.iter_mut().find(|(known, _)| *known == positions) {
            Some((_, voters)) => voters.push(voter),
            None => votes.push((positions, vec![voter])),
        }
    }
    votes.sort_by_key(|(positions, voters)| (positions.len(), Reverse(voters.len())));
    votes.into_iter().find(|(positions, voters)| {
        let voters: Vec<&Line> = voters.iter().filter_map(|&voter| bucket.get(voter).copied()).collect();
        is_enough(line, view, positions, &voters)
    })
}

/// Where two lines differ, free positions aside; `None` if nowhere or in too many places.
fn differences(line: &Line, other: &Line) -> Option<Vec<usize>> {
    if line.len() != other.len() {
        return None;
    }
    let mut positions = Vec::new();
    for (i, (a, b)) in line.tokens.iter().zip(&other.tokens).enumerate() {
        if a.class != Class::Free && b.class != Class::Free && line.text(i) != other.text(i) {
            if positions.len() == MOST_POSITIONS {
                return None;
            }
            positions.push(i);
        }
    }
    (!positions.is_empty()).then_some(positions)
}

fn is_enough(line: &Line, view: View, positions: &[usize], voters: &[&Line]) -> bool {
    if view == View::FirstFree && !(positions[0] <= 1 && positions.len() <= 3) {
        return false;
    }
    let constant_words = line
        .tokens
        .iter()
        .enumerate()
        .filter(|(i, token)| token.class == Class::Word && !positions.contains(i))
        .count();
    let mut needed = 0;
    let mut all_classes = 0;
    for &position in positions {
        let classes = voters
            .iter()
            .fold(line.tokens[position].class.bit(), |set, voter| set | voter.tokens[position].class.bit());
        all_classes |= classes;
        let Some(values) = values_needed(line, view, position, positions.len(), classes, constant_words) else {
            return false;
        };
        needed = needed.max(values);
    }
    let with_words = all_classes & Class::Word.bit() != 0;
    if positions.len() >= 2 {
        needed = needed.max(if with_words { 10 } else { 4 });
        let keys = line.tokens.iter().filter(|token| token.is_any(line.source(), b"=:")).count();
        if constant_words + keys < positions.len() {
            return false;
        }
    }
    let everyone = || std::iter::once(line).chain(voters.iter().copied());
    let values_at = |position: usize| everyone().map(|line| line.text(position)).collect::<BTreeSet<_>>().len();
    if positions.len() >= 2 {
        let least = if with_words { 10 } else { 3 };
        if positions.iter().any(|&position| values_at(position) < least) {
            return false;
        }
    }
    let distinct: BTreeSet<Vec<&[u8]>> =
        everyone().map(|line| positions.iter().map(|&i| line.text(i)).collect()).collect();
    distinct.len() >= needed
}

/// How many distinct values the classes seen at one position ask for; `None` if this line can't be generalised there.
fn values_needed(
    line: &Line,
    view: View,
    position: usize,
    positions: usize,
    classes: u8,
    constant_words: usize,
) -> Option<usize> {
    let (variable, soft, chunk) = (Class::Variable.bit(), Class::Soft.bit(), Class::Chunk.bit());
    let has = |class: u8| classes & class != 0;
    if view == View::Chunks && !(has(variable) && has(chunk) && positions == 1) {
        return None;
    }
    if classes & !(variable | soft) == 0 {
        (constant_words >= 1).then_some(3)
    } else if has(chunk) {
        match constant_words {
            0 => None,
            1 => Some(3),
            _ => Some(2),
        }
    } else if has(variable) {
        Some(match constant_words {
            0 => NEVER,
            1 => 10,
            _ => 2,
        })
    } else if has(soft) {
        (constant_words >= 2).then_some(3)
    } else {
        Some(word_values_needed(line, position, constant_words))
    }
}

/// The same, where only ordinary words were seen.
fn word_values_needed(line: &Line, position: usize, constant_words: usize) -> usize {
    let before = position.checked_sub(1).map_or(&[][..], |i| line.text(i));
    let is_value = matches!(before, b"=" | b":");
    let is_first_word =
        line.tokens.iter().position(|token| token.class == Class::Word) == Some(position) && position <= 1;
    if is_first_word && !is_value {
        return match constant_words {
            0 | 1 => NEVER,
            2..=4 => 16,
            _ => 9,
        };
    }
    match constant_words {
        0 if is_value => 16,
        0 => NEVER,
        1 => 10,
        _ if is_value => 4,
        _ if matches!(before, b"(" | b"[" | b"{") => 3,
        _ if words::lower(before, words::is_strong_cue) => 2,
        _ if words::lower(before, words::is_cue) => 3,
        _ => 4,
    }
}
