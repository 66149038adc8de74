//! The reader of lines that are JSON objects: it takes what serde_json takes, and its record is one for serde_json, too.
#![no_main]

use containerpilot_actors::fuzzing::is_object;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let within_a_record = |line: &[u8]| [b"{\"data\":", line, b"}"].concat();
    let theirs = serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object());
    // A record is one level more.
    let theirs = theirs && serde_json::from_slice::<serde_json::Value>(&within_a_record(line)).is_ok();
    assert_eq!(is_object(line), theirs);
});
