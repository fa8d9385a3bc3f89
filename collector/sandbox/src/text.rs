//! Text from guests, made fit for logs, terminals and web pages.

/// `text` without its control characters, cut to at most `max_bytes` bytes at the border of a character.
///
/// White space that breaks lines becomes a space, other control characters become U+FFFD. So do the characters that change
/// the direction of text (Unicode Technical Report 36, "Bidirectional Text Spoofing"), with which one text can pass for another.
pub(crate) fn clean(text: &str, max_bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars() {
        let c = match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if out.len() + c.len_utf8() > max_bytes {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::clean;

    /// A guest's text can neither break a line, nor colour a terminal, nor turn the direction of what follows.
    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(clean("a\nb\tc", 99), "a b c");
        assert_eq!(clean("\u{1b}[31mred\u{202e}", 99), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(clean("Größe: 5 µs", 99), "Größe: 5 µs");
    }

    /// The cut never leaves half a character, and a replacement never makes the text longer than allowed.
    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clean("aé", 2), "a");
        assert_eq!(clean("aé", 3), "aé");
        assert_eq!(clean("a\0b", 3), "a");
        assert_eq!(clean("abc", 0), "");
    }
}
