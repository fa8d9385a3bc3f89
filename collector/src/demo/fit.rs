//! Text that fits: whole words, and an ellipsis where something is left out.

/// `text` in at most `width` columns. What does not fit is cut after a word, if one ends in the second half, and marked.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    let is_between_words = text.chars().nth(kept.chars().count()) == Some(' ');
    let end = match kept.rfind(' ') {
        Some(space) if !is_between_words && kept[..space].chars().count() >= width / 2 => space,
        _ => kept.len(),
    };
    let kept = kept[..end].trim_end();
    if width == 0 { String::new() } else { format!("{kept}…") }
}

/// `text` without its first remark in parentheses that lists `key=value`, if that is what makes it too long for `width`.
pub(super) fn brief(text: &str, width: usize) -> String {
    let remark =
        text.find(" (").zip(text.find(") ")).filter(|(open, close)| open < close && text[*open..*close].contains('='));
    match remark {
        Some((open, close)) if text.chars().count() > width => format!("{} (…){}", &text[..open], &text[close + 1..]),
        _ => text.to_owned(),
    }
}

/// `text` in lines of at most `width` columns, broken between words; the last of at most `lines` lines says if there was more.
/// A word that is longer than a line is cut.
pub(super) fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let mut done: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && done.len() < lines {
        if done.len() + 1 == lines || rest.chars().count() <= width {
            done.push(cut(rest, width));
            break;
        }
        // One column more, so that a space right behind the last column is seen.
        let end = rest.char_indices().nth(width + 1).map_or(rest.len(), |(index, _)| index);
        match rest[..end].rfind(' ').filter(|space| *space > 0) {
            Some(space) => {
                done.push(rest[..space].trim_end().to_owned());
                rest = rest[space..].trim_start();
            }
            None => {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                done.push(cut(word, width));
                rest = after.trim_start();
            }
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sentence that is cut in the middle of a word reads like an error; one that ends without a mark reads like all of it.
    #[test]
    fn what_is_left_out_is_marked_and_words_stay_whole() {
        assert_eq!(cut("payment is slow", 15), "payment is slow");
        assert_eq!(cut("payment is slow", 14), "payment is…");
        assert_eq!(cut("payment is slow", 11), "payment is…");
        assert_eq!(cut("recommendation", 6), "recom…");
        assert_eq!(cut("µs µs", 3), "µs…");
        assert_eq!(cut("x", 0), "");
        assert_eq!(brief("p95 (route=/a, status=200) is 3 s", 30), "p95 (…) is 3 s");
        assert_eq!(brief("p95 (route=/a, status=200) is 3 s", 40), "p95 (route=/a, status=200) is 3 s");
        assert_eq!(brief("is 3 s (12 times 0.3 s), since noon", 10), "is 3 s (12 times 0.3 s), since noon");
        let text = "inventory p95 latency rose from 16.3 ms to 1.53 s";
        assert_eq!(wrap(text, 22, 5), ["inventory p95 latency", "rose from 16.3 ms to", "1.53 s"]);
        assert_eq!(wrap(text, 22, 2), ["inventory p95 latency", "rose from 16.3 ms to…"]);
        assert_eq!(wrap("a verylongword here", 6, 5), ["a", "veryl…", "here"]);
        assert!(wrap("", 10, 3).is_empty());
        for width in 1..60 {
            for lines in 1..5 {
                let wrapped = wrap(text, width, lines);
                assert!(wrapped.len() <= lines);
                assert!(wrapped.iter().all(|line| line.chars().count() <= width), "{width}: {wrapped:?}");
            }
        }
    }
}
