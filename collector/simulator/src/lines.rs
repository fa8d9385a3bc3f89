//! Log lines: templates whose words in braces are filled in.

use crate::noise::Dice;
use std::fmt::Write;

/// What a line speaks of; what is not given is drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words<'a> {
    pub(crate) ms: Option<f64>,
    pub(crate) peer: &'a str,
    pub(crate) route: &'a str,
    pub(crate) attempt: u32,
}

/// The line that `template` makes. Unknown words stay as they are.
pub(crate) fn fill(template: &str, words: &Words<'_>, dice: &mut Dice) -> String {
    let mut line = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        line.push_str(before);
        let Some((word, after)) = after.split_once('}') else {
            line.push('{');
            rest = after;
            continue;
        };
        // Writing to a string does not fail.
        let _ = match word {
            "ms" => write!(line, "{:.0}", words.ms.unwrap_or_else(|| dice.skewed(40.0, 0.6))),
            "n" => write!(line, "{}", 1 + dice.below(60)),
            "sku" => write!(line, "SKU-{:05}", dice.below(4_000)),
            "order" => write!(line, "ord-{}", dice.suffix(10)),
            "user" => write!(line, "user-{}", 1_000 + dice.below(90_000)),
            "session" => write!(line, "{}", dice.suffix(12)),
            "uuid" => write!(line, "{}", dice.uuid()),
            "amount" => write!(line, "{:.2}", dice.skewed(48.0, 0.7)),
            "ip" => write!(line, "10.{}.{}.{}", dice.below(256), dice.below(256), 1 + dice.below(254)),
            "peer" => write!(line, "{}", words.peer),
            "route" => write!(line, "{}", words.route),
            "attempt" => write!(line, "{}", words.attempt),
            unknown => write!(line, "{{{unknown}}}"),
        };
        rest = after;
    }
    line.push_str(rest);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::SERVICES;

    /// A word that `fill` does not know would show its braces to people; every template of the shop must be filled.
    #[test]
    fn every_template_of_the_shop_is_filled() {
        let mut dice = Dice::new(1);
        let background = SERVICES.iter().flat_map(|service| service.background).map(|background| background.line);
        let lines = SERVICES.iter().flat_map(|service| service.operations).map(|operation| operation.line.1);
        for template in background.chain(lines) {
            let line = fill(template, &Words::default(), &mut dice);
            assert!(!line.contains(['{', '}']), "{line}");
        }
        assert_eq!(fill("{unknown} {ms}", &Words { ms: Some(7.4), ..Words::default() }, &mut dice), "{unknown} 7");
    }
}
