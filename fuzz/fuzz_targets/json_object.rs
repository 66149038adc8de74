//! The reader of lines that are JSON objects: it takes what is JSON by its grammar, as serde_json does where it only skips.
#![no_main]

use containerpilot_actors::fuzzing::is_object;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|line: &[u8]| {
    let text = std::str::from_utf8(line).unwrap_or_default();
    // What serde_json skips is checked by the grammar alone, at any depth.
    let theirs = serde_json::from_str::<IgnoredAny>(text).is_ok() && text.trim_ascii_start().starts_with('{');
    let brackets = line.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= 512 || !theirs {
        assert_eq!(is_object(line), theirs);
    }
});
