//! JSON5 with positions, and all that is made of it: a spec, or problems each at a place of the text.
#![no_main]

use containerpilot_fuzz::config::{self, Source};
use containerpilot_fuzz::{environment, host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Templates have a target of their own.
    if text.contains("{{") {
        return;
    }
    config::fuzzing::positions(text);
    let source = Source::Text { place: "fuzz", text: text.as_bytes().to_vec() };
    for command in [vec![], vec!["app".into()]] {
        if let Err(error) = config::load(&source, &command, None, &environment(), &host()) {
            let first = error.to_string();
            let mut place = first.split(':').skip(1).map(str::parse::<usize>);
            let lines = text.split(['\n', '\r', '\u{2028}', '\u{2029}']).count();
            assert!(place.next().is_some_and(|line| line.is_ok_and(|line| (1..=lines).contains(&line))), "{first}");
            assert!(place.next().is_some_and(|column| column.is_ok_and(|column| column > 0)), "{first}");
        }
    }
});
