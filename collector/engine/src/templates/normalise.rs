//! Owns making lines of one template alike: dates, units, lists and repeats become wildcards.

use super::{
    token::{Class, Token},
    tokenise::Hints,
    words,
};

/// Which lines to expect.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Stage {
    /// Fresh from the tokeniser.
    Tokens,
    /// A coarser view of a line that was normalised before.
    View,
}

/// Normalises `tokens` in place. `hints` may say too much.
pub(super) fn normalise(source: &[u8], tokens: &mut Vec<Token>, hints: Hints, stage: Stage) {
    if (hints.dates || hints.pairs) && tokens.iter().any(|token| token.class == Class::Variable) {
        if hints.pairs && stage == Stage::Tokens {
            mark_address_bytes(source, tokens);
        }
        if hints.dates && mark_dates(source, tokens) {
            mark_dates(source, tokens);
        }
    }
    let variables = join_variables(source, tokens, stage);
    if hints.equals && stage == Stage::Tokens {
        fill_empty_values(source, tokens);
    }
    if hints.equals || variables >= 2 {
        drop_repeats(source, tokens);
    }
}

/// Two hexadecimal letters in a chain of colons are a byte of an address.
fn mark_address_bytes(source: &[u8], tokens: &mut [Token]) {
    for i in 0..tokens.len() {
        let token = tokens[i];
        let text = token.text(source);
        if token.class != Class::Word || text.len() != 2 || !text.iter().all(u8::is_ascii_hexdigit) {
            continue;
        }
        let behind = i >= 2 && {
            let (first, colon) = (tokens[i - 2], tokens[i - 1]);
            let is_byte =
                first.class == Class::Variable || (first.class == Class::Word && first.text(source).len() == 2);
            colon.is(source, b':') && !colon.space && !token.space && is_byte
        };
        let ahead = i + 2 < tokens.len() && {
            let (colon, next) = (tokens[i + 1], tokens[i + 2]);
            colon.is(source, b':') && !colon.space && !next.space && next.class == Class::Variable
        };
        if behind || ahead {
            tokens[i].class = Class::Variable;
        }
    }
}

/// Names of days, months and zones beside something that varies. Says whether it changed anything.
fn mark_dates(source: &[u8], tokens: &mut [Token]) -> bool {
    let mut changed = false;
    for i in 0..tokens.len() {
        if tokens[i].class != Class::Word {
            continue;
        }
        let text = tokens[i].text(source);
        if !words::may_date(text) {
            continue;
        }
        let before = i.checked_sub(1).map(|k| tokens[k]);
        let after = tokens.get(i + 1).copied();
        let varies = |token: Option<Token>| token.is_some_and(|token| token.class == Class::Variable);
        let beside = varies(before) || varies(after);
        let is_month =
            |token: Option<Token>| token.is_some_and(|token| words::lower(token.text(source), words::is_month));
        let dated = if words::lower(text, words::is_day) {
            beside || is_month(before) || is_month(after)
        } else if !beside {
            false
        } else if words::lower(text, words::is_month) {
            true
        } else {
            varies(before) && words::lower(text, words::is_zone)
        };
        if dated {
            tokens[i].class = Class::Variable;
            changed = true;
        }
    }
    changed
}

/// Units behind a variable become variables, runs and lists of variables become one. Gives how many variables are left, or
/// a little more.
fn join_variables(source: &[u8], tokens: &mut Vec<Token>, stage: Stage) -> usize {
    let mut variables = 0;
    let mut varied = false;
    let mut kept = 0;
    for i in 0..tokens.len() {
        let mut token = tokens[i];
        if varied && token.class == Class::Word && is_unit(token.text(source)) {
            token.class = Class::Variable;
        }
        varied = token.class == Class::Variable;
        if varied {
            let compared = stage == Stage::Tokens
                && !token.space
                && tokens[..kept].last().is_some_and(|last| last.is_any(source, b"<>"))
                && !tokens.get(i + 1).is_some_and(|next| next.is(source, b'>'));
            if compared {
                kept -= 1;
                token.space = tokens[kept].space;
            }
            if tokens[..kept].last().is_some_and(|last| last.class == Class::Variable) {
                continue;
            }
            if let [.., first, separator] = tokens[..kept]
                && first.class == Class::Variable
                && !separator.space
                && (separator.is(source, b',') || (separator.is(source, b':') && !token.space))
            {
                kept -= 1;
                continue;
            }
            variables += 1;
        }
        tokens[kept] = token;
        kept += 1;
        if token.is(source, b')')
            && let [.., first, open, inner, _] = tokens[..kept]
            && first.class == Class::Variable
            && open.space
            && open.is(source, b'(')
            && inner.class == Class::Variable
        {
            kept -= 3;
        }
    }
    tokens.truncate(kept);
    variables
}

fn is_unit(word: &[u8]) -> bool {
    words::may_unit(word) && words::lower(word, words::is_unit)
}

/// `key=` with nothing behind gets a value.
fn fill_empty_values(source: &[u8], tokens: &mut Vec<Token>) {
    let mut i = 1;
    while i < tokens.len() {
        let is_key = tokens[i].is(source, b'=') && !tokens[i].space && tokens[i - 1].class == Class::Word;
        let is_empty = is_key
            && match tokens.get(i + 1) {
                None => true,
                Some(next) => {
                    next.is_any(source, b",;)]}")
                        || (next.space && tokens.get(i + 2).is_some_and(|sign| sign.is(source, b'=')))
                }
            };
        if is_empty {
            tokens.insert(i + 1, Token::wildcard(Class::Variable, false));
            i += 1;
        }
        i += 1;
    }
}

/// The longest repeat that is looked for, in tokens.
const LONGEST_PERIOD: usize = 8;
/// A bit for each length of a repeat, from 2 on.
const PERIODS: u64 = (2 << LONGEST_PERIOD) - 4;

/// Immediate repeats of 2 to 8 tokens with a variable among them are kept once.
fn drop_repeats(source: &[u8], tokens: &mut Vec<Token>) {
    let same = |a: &Token, b: &Token| a.end - a.start == b.end - b.start && a.text(source) == b.text(source);
    // Bit n is set if the token n places before the last one kept is a variable. Repeats have their variables in the same
    // places, so that this rules tokens almost all before a text is compared.
    let mut variables = 0_u64;
    let mut kept = 0;
    for i in 0..tokens.len() {
        let token = tokens[i];
        tokens[kept] = token;
        kept += 1;
        variables = variables << 1 | u64::from(token.class == Class::Variable);
        let last = variables.trailing_zeros();
        if last >= LONGEST_PERIOD as u32 {
            continue;
        }
        // Bit n is set if there is a variable n places before the last one.
        let mut periods = (variables >> last) & PERIODS & !((2 << last) - 1);
        while periods != 0 {
            let period = periods.trailing_zeros() as usize;
            periods &= periods - 1;
            let differ = (variables ^ variables >> period) & ((1 << period) - 1);
            if differ != 0 || kept < 2 * period {
                continue;
            }
            let (before, last) = tokens[kept - 2 * period..kept].split_at(period);
            if before.iter().zip(last).all(|(a, b)| a.class == Class::Variable || same(a, b)) {
                kept -= period;
                let rest = &tokens[kept.saturating_sub(2 * LONGEST_PERIOD)..kept];
                variables = rest.iter().fold(0, |bits, token| bits << 1 | u64::from(token.class == Class::Variable));
                break;
            }
        }
    }
    tokens.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Repeats, found by comparing the texts of all periods.
    fn without_repeats(source: &[u8], tokens: &[Token]) -> Vec<Token> {
        let mut kept: Vec<Token> = Vec::new();
        let same = |(a, b): (&Token, &Token)| {
            let varies = |token: &Token| token.class == Class::Variable;
            varies(a) == varies(b) && a.text(source) == b.text(source)
        };
        for token in tokens {
            kept.push(*token);
            let repeat = (2..=LONGEST_PERIOD.min(kept.len() / 2)).find(|period| {
                let (before, last) = kept[kept.len() - 2 * period..].split_at(*period);
                before.iter().zip(last).all(same) && last.iter().any(|token| token.class == Class::Variable)
            });
            kept.truncate(kept.len() - repeat.unwrap_or(0));
        }
        kept
    }

    proptest! {
        /// What is ruled out by the places of the variables must be what a comparison of texts rules out, also right after
        /// repeats were dropped.
        #[test]
        fn repeats_are_those_of_the_texts(letters in proptest::collection::vec(0_u16..4, 0..200)) {
            let token = |&letter: &u16| match letter {
                0 => Token::wildcard(Class::Variable, true),
                _ => Token { start: letter, end: letter + 1, class: Class::Word, space: true },
            };
            let mut tokens: Vec<Token> = letters.iter().map(token).collect();
            let expected = without_repeats(b"abcd", &tokens);
            drop_repeats(b"abcd", &mut tokens);
            prop_assert_eq!(tokens, expected);
        }
    }
}
