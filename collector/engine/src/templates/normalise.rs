//! Owns making lines of one template alike: dates, units, lists and repeats become wildcards.

use super::{
    token::{Class, Token},
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

/// Normalises `tokens` (which are changed on the way) into `out`, which is emptied first.
pub(super) fn normalise(source: &[u8], tokens: &mut [Token], stage: Stage, out: &mut Vec<Token>) {
    out.clear();
    if tokens.iter().any(|token| token.class == Class::Variable) {
        if stage == Stage::Tokens {
            mark_address_bytes(source, tokens);
        }
        if mark_dates(source, tokens) {
            mark_dates(source, tokens);
        }
        mark_units(source, tokens);
    }
    join_variables(source, tokens, stage, out);
    if stage == Stage::Tokens {
        fill_empty_values(source, out);
    }
    drop_repeats(source, out);
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
        if !(2..=9).contains(&text.len()) {
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

fn mark_units(source: &[u8], tokens: &mut [Token]) {
    for i in 1..tokens.len() {
        let is_unit = tokens[i].class == Class::Word
            && tokens[i - 1].class == Class::Variable
            && words::lower(tokens[i].text(source), words::is_unit);
        if is_unit {
            tokens[i].class = Class::Variable;
        }
    }
}

/// Runs and lists of variables become one variable.
fn join_variables(source: &[u8], tokens: &[Token], stage: Stage, out: &mut Vec<Token>) {
    let is_variable = |token: Option<&Token>| token.is_some_and(|token| token.class == Class::Variable);
    for (i, token) in tokens.iter().enumerate() {
        let mut token = *token;
        if token.class == Class::Variable {
            let compared = stage == Stage::Tokens
                && !token.space
                && out.last().is_some_and(|last| last.is_any(source, b"<>"))
                && !tokens.get(i + 1).is_some_and(|next| next.is(source, b'>'));
            if compared && let Some(sign) = out.pop() {
                token.space = sign.space;
            }
            if is_variable(out.last()) {
                continue;
            }
            if let [.., first, separator] = out[..]
                && first.class == Class::Variable
                && !separator.space
                && (separator.is(source, b',') || (separator.is(source, b':') && !token.space))
            {
                out.pop();
                continue;
            }
        }
        out.push(token);
        if token.is(source, b')')
            && let [.., first, open, inner, _] = out[..]
            && first.class == Class::Variable
            && open.space
            && open.is(source, b'(')
            && inner.class == Class::Variable
        {
            out.truncate(out.len() - 3);
        }
    }
}

/// `key=` with nothing behind gets a value.
fn fill_empty_values(source: &[u8], out: &mut Vec<Token>) {
    let mut i = 1;
    while i < out.len() {
        let is_key = out[i].is(source, b'=') && !out[i].space && out[i - 1].class == Class::Word;
        let is_empty = is_key
            && match out.get(i + 1) {
                None => true,
                Some(next) => {
                    next.is_any(source, b",;)]}")
                        || (next.space && out.get(i + 2).is_some_and(|sign| sign.is(source, b'=')))
                }
            };
        if is_empty {
            out.insert(i + 1, Token::wildcard(Class::Variable, false));
            i += 1;
        }
        i += 1;
    }
}

/// Immediate repeats of 2 to 8 tokens with a variable among them are kept once.
fn drop_repeats(source: &[u8], out: &mut Vec<Token>) {
    let Some(first) = out.iter().position(|token| token.class == Class::Variable) else { return };
    let same = |a: &Token, b: &Token| match (a.class, b.class) {
        (Class::Variable, Class::Variable) => true,
        (Class::Variable, _) | (_, Class::Variable) => false,
        _ => a.end - a.start == b.end - b.start && a.text(source) == b.text(source),
    };
    let mut kept = first + 1;
    for i in first + 1..out.len() {
        out[kept] = out[i];
        kept += 1;
        for period in 2..=8.min(kept / 2) {
            let (before, last) = out[kept - 2 * period..kept].split_at(period);
            let repeats = same(&before[period - 1], &last[period - 1])
                && before.iter().zip(last).all(|(a, b)| same(a, b))
                && last.iter().any(|token| token.class == Class::Variable);
            if repeats {
                kept -= period;
                break;
            }
        }
    }
    out.truncate(kept);
}
