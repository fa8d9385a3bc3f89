//! Owns the word lists of the template miner: dates, time zones, units, top-level domains, file extensions, cue words.
//!
//! All lists are in lower case; look up with [`lower`].

/// The longest word that any list holds, in bytes.
const LONGEST: usize = 12;

/// Calls `test` with `word` in ASCII lower case; false for words longer than any that the lists hold.
pub(super) fn lower(word: &[u8], test: impl FnOnce(&[u8]) -> bool) -> bool {
    let mut buffer = [0_u8; LONGEST];
    match buffer.get_mut(..word.len()) {
        Some(copy) => {
            copy.copy_from_slice(word);
            copy.make_ascii_lowercase();
            test(copy)
        }
        None => false,
    }
}

/// A list and the test for it. The test is a match, which is compiled to something faster than a search.
macro_rules! list {
    ($(#[$doc:meta])* $visibility:vis $test:ident, $list:ident: $($word:literal)*) => {
        $(#[$doc])*
        $visibility fn $test(word: &[u8]) -> bool {
            matches!(word, $($word)|*)
        }
        const $list: &[&[u8]] = &[$($word),*];
    };
}

list! {
    pub(super) is_day, DAYS:
    b"mon" b"tue" b"wed" b"thu" b"fri" b"sat" b"sun" b"monday" b"tuesday" b"wednesday" b"thursday" b"friday"
    b"saturday" b"sunday"
}

list! {
    pub(super) is_month, MONTHS:
    b"jan" b"feb" b"mar" b"apr" b"may" b"jun" b"jul" b"aug" b"sep" b"sept" b"oct" b"nov" b"dec" b"january" b"february"
    b"march" b"april" b"june" b"july" b"august" b"september" b"october" b"november" b"december"
}

list! {
    /// A time zone, or `am` and `pm`.
    pub(super) is_zone, ZONES:
    b"utc" b"gmt" b"est" b"edt" b"cst" b"cdt" b"mst" b"mdt" b"pst" b"pdt" b"cet" b"cest" b"bst" b"ist" b"jst" b"am"
    b"pm"
}

/// A letter's number in the alphabet, the same in lower and upper case; something from 0 to 31 for other bytes.
const fn letter(byte: u8) -> usize {
    (byte & 31) as usize
}

/// By the second and the last letter, the set of the lengths of all days, months and zones that have them.
const DATE_LENGTHS: [[u16; 32]; 32] = {
    let mut lengths = [[0; 32]; 32];
    let lists = [DAYS, MONTHS, ZONES];
    let mut list = 0;
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            let word = lists[list][i];
            lengths[letter(word[1])][letter(word[word.len() - 1])] |= 1 << word.len();
            i += 1;
        }
        list += 1;
    }
    lengths
};

/// Whether a word may be a day, month or zone, in any case. Says yes to few others.
pub(super) fn may_date(word: &[u8]) -> bool {
    match word {
        [_, second, .., last] if word.len() < 16 => {
            DATE_LENGTHS[letter(*second)][letter(*last)] & (1 << word.len()) != 0
        }
        [_, second] => DATE_LENGTHS[letter(*second)][letter(*second)] & (1 << 2) != 0,
        _ => false,
    }
}

/// By their number in the alphabet, the letters that units begin with.
const UNIT_LETTERS: u32 = {
    let mut letters = 0;
    let mut i = 0;
    while i < UNITS.len() {
        letters |= 1 << letter(UNITS[i][0]);
        i += 1;
    }
    letters
};

/// Whether a word may be a unit, in any case. Says yes to many others.
pub(super) fn may_unit(word: &[u8]) -> bool {
    matches!(word, [first, ..] if word.len() <= LONGEST && UNIT_LETTERS & (1 << letter(*first)) != 0)
}

/// A unit, also with a plural `s` or `/s` behind it.
pub(super) fn is_unit(word: &[u8]) -> bool {
    let mut stem = word;
    while let [rest @ .., b'/' | b's'] = stem {
        stem = rest;
    }
    is_bare_unit(word) || is_bare_unit(stem)
}

list! {
    is_bare_unit, UNITS:
    b"b" b"kb" b"mb" b"gb" b"tb" b"pb" b"kib" b"mib" b"gib" b"tib" b"byte" b"bytes" b"k" b"m" b"g" b"kbps" b"mbps"
    b"gbps" b"ns" b"us" b"ms" b"s" b"sec" b"secs" b"second" b"seconds" b"min" b"mins" b"minute" b"minutes" b"h" b"hr"
    b"hrs" b"hour" b"hours" b"d" b"day" b"days" b"hz" b"khz" b"mhz" b"ghz"
}

pub(super) fn is_top_level_domain(word: &[u8]) -> bool {
    matches!(
        word,
        b"com"
            | b"net"
            | b"org"
            | b"edu"
            | b"gov"
            | b"mil"
            | b"info"
            | b"biz"
            | b"local"
            | b"lan"
            | b"internal"
            | b"corp"
            | b"int"
    )
}

/// First parts of package and class names, which look like host names turned round.
pub(super) fn is_package_root(word: &[u8]) -> bool {
    matches!(
        word,
        b"com"
            | b"org"
            | b"net"
            | b"io"
            | b"edu"
            | b"java"
            | b"javax"
            | b"android"
            | b"sun"
            | b"dev"
            | b"gov"
            | b"de"
            | b"cn"
            | b"uk"
    )
}

pub(super) fn is_file_extension(word: &[u8]) -> bool {
    matches!(
        word,
        b"exe"
            | b"dll"
            | b"so"
            | b"log"
            | b"txt"
            | b"conf"
            | b"cfg"
            | b"ini"
            | b"xml"
            | b"json"
            | b"yml"
            | b"yaml"
            | b"html"
            | b"htm"
            | b"jar"
            | b"war"
            | b"py"
            | b"pyc"
            | b"sh"
            | b"rb"
            | b"js"
            | b"ts"
            | b"java"
            | b"class"
            | b"cpp"
            | b"hpp"
            | b"cc"
            | b"hh"
            | b"rs"
            | b"go"
            | b"c"
            | b"h"
            | b"pl"
            | b"php"
            | b"sql"
            | b"db"
            | b"csv"
            | b"gz"
            | b"zip"
            | b"tar"
            | b"tgz"
            | b"bz2"
            | b"png"
            | b"jpg"
            | b"gif"
            | b"svg"
            | b"pdf"
            | b"tmp"
            | b"bak"
            | b"pid"
            | b"sock"
            | b"lock"
            | b"plist"
            | b"app"
            | b"service"
            | b"properties"
            | b"kext"
    )
}

/// Words after which a name almost surely follows.
pub(super) fn is_strong_cue(word: &[u8]) -> bool {
    matches!(word, b"user" | b"username" | b"host" | b"hostname")
}

/// Words after which a name often follows.
pub(super) fn is_cue(word: &[u8]) -> bool {
    matches!(
        word,
        b"user"
            | b"username"
            | b"login"
            | b"account"
            | b"host"
            | b"hostname"
            | b"server"
            | b"client"
            | b"domain"
            | b"from"
            | b"by"
            | b"for"
            | b"to"
            | b"file"
            | b"path"
            | b"dir"
            | b"directory"
            | b"name"
            | b"interface"
            | b"device"
            | b"named"
            | b"called"
            | b"module"
            | b"service"
            | b"container"
            | b"instance"
            | b"image"
            | b"volume"
            | b"network"
            | b"process"
            | b"job"
            | b"task"
            | b"class"
            | b"package"
            | b"key"
            | b"id"
            | b"uuid"
            | b"node"
            | b"program"
            | b"command"
            | b"component"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked before a list must never say no to a word of the list, in whatever case it is written.
    #[test]
    fn nothing_listed_is_ruled_out() {
        for word in [DAYS, MONTHS, ZONES].concat() {
            assert!(may_date(word) && may_date(&word.to_ascii_uppercase()), "{}", word.escape_ascii());
        }
        for word in UNITS {
            for ending in ["", "s", "/s"] {
                let word = [word, ending.as_bytes()].concat();
                assert!(may_unit(&word) && may_unit(&word.to_ascii_uppercase()), "{}", word.escape_ascii());
            }
        }
        assert!(![&b""[..], b"a", b"the", b"for", b"from", b"not"].iter().any(|word| may_date(word)));
    }
}
