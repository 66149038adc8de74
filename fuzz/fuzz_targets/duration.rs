//! Go's durations: what we write is read as the same.
#![no_main]

use containerpilot_actors::duration::go_format;
use containerpilot_fuzz::config::fuzzing::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(read) = duration(text) {
        assert_eq!(duration(&go_format(read)), Some(read), "{text}");
    }
});
