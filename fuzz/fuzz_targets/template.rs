//! From the lexer to the evaluator: a text is rendered, or there is an error with a position in it.
#![no_main]

use containerpilot_fuzz::{environment, template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    // Loops in loops, and numbers of a size that makes much of little, take their time.
    let digits = text.windows(4).any(|four| four.iter().all(u8::is_ascii_digit));
    if digits || text.windows(4).filter(|four| four == b"loop").count() > 1 {
        return;
    }
    if let Err(error) = template::render("fuzz", text, &environment()) {
        let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
        assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}");
    }
    if let Ok(actions) = template::actions("fuzz", text) {
        let mut last = 0;
        for action in actions {
            assert!(last <= action.start && action.start < action.end && action.end <= text.len(), "{action:?}");
            last = action.end;
        }
    }
});
