//! Fuzz targets: what all of them share. Each parser of what strangers send has one, in a file `fuzz.rs` of its module.
//!
//! A target is a test that draws inputs for a second. `BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test --lib fuzz` draws
//! for longer. A failure prints the smallest input that was found, and the `BOLERO_RANDOM_SEED` that draws it again.
//! `cargo bolero test backoff::fuzz::fuzz` lets libFuzzer choose inputs by coverage.
//!
//! A new target is a test `fuzz` with a dictionary of the words that its parser knows, [`text`] or [`json_object`]
//! made of them, and what must hold for every input. That nothing panics is the least; state what a result promises.

use bolero::{ValueGenerator, produce};

/// Texts of up to 48 pieces: every second one a word of the dictionary, the others any character.
pub(crate) fn text(words: &'static [&'static str]) -> impl ValueGenerator<Output = String> {
    produce::<Vec<(usize, char)>>().with().len(0..=48_usize).map_gen(|pieces| {
        pieces.into_iter().fold(String::new(), |mut text, (number, character)| {
            match words.get(number % (2 * words.len())) {
                Some(word) => text.push_str(word),
                None => text.push(character),
            }
            text
        })
    })
}

/// Texts that are words of the dictionary alone, up to six of them.
pub(crate) fn words(words: &'static [&'static str]) -> impl ValueGenerator<Output = String> {
    let numbers = produce::<Vec<usize>>().with().len(1..=6_usize);
    numbers.map_gen(|numbers| numbers.into_iter().map(|number| words[number % words.len()]).collect())
}

/// JSON objects of up to eight members; every fourth one has a character too many. `values` are JSON.
pub(crate) fn json_object(
    keys: &'static [&'static str],
    values: &'static [&'static str],
) -> impl ValueGenerator<Output = String> {
    let members = produce::<Vec<(usize, usize)>>().with().len(0..=8_usize);
    (members, produce::<(u8, usize, char)>()).map_gen(|(members, (spoil, at, character))| {
        let member = |(key, value)| format!("{:?}:{}", keys[key % keys.len()], values[value % values.len()]);
        let members: Vec<String> = members.into_iter().map(member).collect();
        let mut text: Vec<char> = format!("{{{}}}", members.join(",")).chars().collect();
        if spoil % 4 == 0 {
            text.insert(at % text.len(), character);
        }
        text.into_iter().collect()
    })
}
