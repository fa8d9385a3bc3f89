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

pub(super) fn is_day(word: &[u8]) -> bool {
    matches!(
        word,
        b"mon"
            | b"tue"
            | b"wed"
            | b"thu"
            | b"fri"
            | b"sat"
            | b"sun"
            | b"monday"
            | b"tuesday"
            | b"wednesday"
            | b"thursday"
            | b"friday"
            | b"saturday"
            | b"sunday"
    )
}

pub(super) fn is_month(word: &[u8]) -> bool {
    matches!(
        word,
        b"jan"
            | b"feb"
            | b"mar"
            | b"apr"
            | b"may"
            | b"jun"
            | b"jul"
            | b"aug"
            | b"sep"
            | b"sept"
            | b"oct"
            | b"nov"
            | b"dec"
            | b"january"
            | b"february"
            | b"march"
            | b"april"
            | b"june"
            | b"july"
            | b"august"
            | b"september"
            | b"october"
            | b"november"
            | b"december"
    )
}

/// A time zone, or `am` and `pm`.
pub(super) fn is_zone(word: &[u8]) -> bool {
    matches!(
        word,
        b"utc"
            | b"gmt"
            | b"est"
            | b"edt"
            | b"cst"
            | b"cdt"
            | b"mst"
            | b"mdt"
            | b"pst"
            | b"pdt"
            | b"cet"
            | b"cest"
            | b"bst"
            | b"ist"
            | b"jst"
            | b"am"
            | b"pm"
    )
}

/// A unit, also with a plural `s` or `/s` behind it.
pub(super) fn is_unit(word: &[u8]) -> bool {
    let mut stem = word;
    while let [rest @ .., b'/' | b's'] = stem {
        stem = rest;
    }
    is_bare_unit(word) || is_bare_unit(stem)
}

fn is_bare_unit(word: &[u8]) -> bool {
    matches!(
        word,
        b"b" | b"kb"
            | b"mb"
            | b"gb"
            | b"tb"
            | b"pb"
            | b"kib"
            | b"mib"
            | b"gib"
            | b"tib"
            | b"byte"
            | b"bytes"
            | b"k"
            | b"m"
            | b"g"
            | b"kbps"
            | b"mbps"
            | b"gbps"
            | b"ns"
            | b"us"
            | b"ms"
            | b"s"
            | b"sec"
            | b"secs"
            | b"second"
            | b"seconds"
            | b"min"
            | b"mins"
            | b"minute"
            | b"minutes"
            | b"h"
            | b"hr"
            | b"hrs"
            | b"hour"
            | b"hours"
            | b"d"
            | b"day"
            | b"days"
            | b"hz"
            | b"khz"
            | b"mhz"
            | b"ghz"
    )
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
