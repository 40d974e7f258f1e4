//! Names of months and of zones, as `journalctl` and syslog print them in the language of the host.

use crate::logs::timestamp::{month, zone};

/// Longest name of a month, in bytes.
const MONTH_MAX: usize = 16;

/// Abbreviated months (`%b`) of glibc's locales beside the English ones, in lower case and without
/// the point that some of them end with. None stands for two months in the languages listed.
const MONTHS: [&[&str]; 12] = [
    &[
        "janv", "ene", "gen", "sty", "led", "ian", "oca", "tammi", "янв", "січ", "ιαν",
    ],
    &[
        "fév", "févr", "fev", "febr", "fbr", "lut", "úno", "helmi", "şub", "фев", "лют", "φεβ",
    ],
    &[
        "mär", "mars", "mrt", "març", "márc", "bře", "maalis", "мар", "бер", "μαρ",
    ],
    &[
        "avr", "avril", "abr", "kwi", "dub", "ápr", "nis", "huhti", "april", "апр", "кві", "απρ",
    ],
    &[
        "mai", "mei", "maj", "mag", "kvě", "máj", "touko", "май", "мая", "тра", "μαι", "μαΐ",
    ],
    &[
        "juin", "giu", "cze", "čen", "jún", "iun", "haz", "kesä", "juni", "июн", "чер", "ιουν",
    ],
    &[
        "juil", "lug", "čec", "júl", "iul", "tem", "heinä", "juli", "июл", "лип", "ιουλ",
    ],
    &[
        "août", "ago", "sie", "srp", "ağu", "agu", "elo", "авг", "сер", "αυγ",
    ],
    &[
        "sept", "set", "wrz", "zář", "szept", "eyl", "syys", "сен", "вер", "σεπ",
    ],
    &[
        "okt", "out", "ott", "paź", "říj", "eki", "loka", "окт", "жов", "οκτ",
    ],
    &["lis", "kas", "marras", "ноя", "лис", "νοε"],
    &[
        "déc", "dez", "dic", "des", "gru", "pro", "ara", "joulu", "дек", "гру", "δεκ",
    ],
];

/// The month that a text begins with, in any language, and what follows its blank. Only where a day
/// and a time of day follow, so that other words cost little.
pub fn any_month(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = memchr::memchr(b' ', text.get(..text.len().min(MONTH_MAX + 1))?)?;
    let (name, rest) = (text.get(..end)?, text.get(end + 1..)?);
    let clock = matches!(
        rest,
        [
            b' ' | b'0'..=b'3',
            b'0'..=b'9',
            b' ',
            _,
            _,
            b':',
            _,
            _,
            b':',
            ..
        ]
    );
    if !clock {
        return None;
    }
    // The usual ones first.
    let known = month(name).or_else(|| foreign(std::str::from_utf8(name).ok()?));
    Some((known?, rest))
}

fn foreign(name: &str) -> Option<u32> {
    // Chinese, Japanese and Korean count them.
    if let Some(number) = name.strip_suffix(['月', '월']) {
        return number.parse().ok().filter(|month| (1..=12).contains(month));
    }
    let lower = name.trim_end_matches('.').to_lowercase();
    // Many languages have English names in lower case.
    let mut english = lower.clone().into_bytes();
    english.get_mut(..1)?.make_ascii_uppercase();
    month(&english).or_else(|| {
        let at = MONTHS.iter().position(|names| names.contains(&&*lower))?;
        u32::try_from(at + 1).ok()
    })
}

/// Zones by the abbreviations that mean one offset in the whole of the tz database (2025b), in
/// minutes east of UTC. `CST`, `IST` and `PST` mean several, so they are none.
const ZONES: [(&[u8], i64); 39] = [
    (b"UTC", 0),
    (b"GMT", 0),
    (b"UCT", 0),
    (b"Z", 0),
    (b"WET", 0),
    (b"WEST", 60),
    (b"BST", 60),
    (b"CET", 60),
    (b"MET", 60),
    (b"WAT", 60),
    (b"CEST", 120),
    (b"MEST", 120),
    (b"EET", 120),
    (b"CAT", 120),
    (b"SAST", 120),
    (b"EEST", 180),
    (b"IDT", 180),
    (b"MSK", 180),
    (b"EAT", 180),
    (b"PKT", 300),
    (b"WIB", 420),
    (b"WITA", 480),
    (b"AWST", 480),
    (b"HKT", 480),
    (b"WIT", 540),
    (b"JST", 540),
    (b"KST", 540),
    (b"ACST", 570),
    (b"AEST", 600),
    (b"ACDT", 630),
    (b"AEDT", 660),
    (b"NZST", 720),
    (b"NZDT", 780),
    (b"ADT", -180),
    (b"EDT", -240),
    (b"EST", -300),
    (b"MDT", -360),
    (b"MST", -420),
    (b"PDT", -420),
];

/// Microseconds east of UTC of a zone that stands as a word behind a time: `UTC`, `CET`, or `+03`
/// where the zone has no name. `None` for what is no zone, or for a name that several have.
pub fn zone_word(word: &[u8]) -> Option<i64> {
    if let Some((offset_us, len)) = zone(word) {
        return (len == word.len()).then_some(offset_us);
    }
    let known = ZONES.iter().find(|(name, _)| *name == word);
    known.map(|(_, minutes)| minutes * 60_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_of_many_languages() {
        for (text, want) in [
            ("Feb 16 16:01:27 h", 2),
            ("feb 16 16:01:27 h", 2),
            ("Mär  6 16:01:27 h", 3),
            ("mai 06 16:01:27 h", 5),
            ("Okt 16 16:01:27 h", 10),
            ("févr. 16 16:01:27 h", 2),
            ("2月 16 16:01:27 h", 2),
            ("12月 16 16:01:27 h", 12),
            ("ДЕК 16 16:01:27 h", 12),
        ] {
            let found = any_month(text.as_bytes()).map(|(month, _)| month);
            assert_eq!(found, Some(want), "{text}");
        }
        for text in ["13月 16 16:01:27", "foo 16 16:01:27", "mai 16 of 27", "mai"] {
            assert_eq!(any_month(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let all: Vec<_> = MONTHS.concat();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        let mut zones: Vec<_> = ZONES.iter().map(|(name, _)| name).collect();
        zones.sort_unstable();
        zones.dedup();
        assert_eq!(zones.len(), ZONES.len());
    }

    #[test]
    fn zones_that_are_clear() {
        let hour = 3_600_000_000;
        for (word, want) in [
            ("UTC", Some(0)),
            ("CET", Some(hour)),
            ("EST", Some(-5 * hour)),
            ("+03", Some(3 * hour)),
            ("+0530", Some(11 * hour / 2)),
            ("-03", Some(-3 * hour)),
            // China's and Chicago's; India's, Israel's and Ireland's.
            ("CST", None),
            ("IST", None),
            ("HOST", None),
            ("+03x", None),
        ] {
            assert_eq!(zone_word(word.as_bytes()), want, "{word}");
        }
    }
}
