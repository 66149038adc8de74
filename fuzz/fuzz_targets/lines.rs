//! The line cutter: nothing is lost, no piece is too long, and it does not matter how the bytes come.
#![no_main]

use containerpilot_actors::fuzzing::cut;
use containerpilot_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((longest, data)) = data.split_first() else { return };
    let longest = 16 + usize::from(*longest);
    let Some((whole, pieces)) = pieces(data) else { return };
    let cut_at_once = cut(std::iter::once(whole), longest);
    assert_eq!(cut(pieces, longest), cut_at_once);
    let mut joined: Vec<u8> = Vec::new();
    for (piece, part) in &cut_at_once {
        assert!(piece.len() <= longest, "{} of {longest}", piece.len());
        joined.extend(piece);
        if part.is_none_or(|(_, last)| last) {
            joined.push(b'\n');
        }
    }
    let lines = whole.strip_suffix(b"\n").unwrap_or(whole).split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let expected: Vec<u8> = lines.flat_map(|line| [line, b"\n"].concat()).collect();
    assert_eq!(joined, if whole.is_empty() { Vec::new() } else { expected });
});
