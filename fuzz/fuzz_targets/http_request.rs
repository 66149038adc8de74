//! HTTP requests: the same in pieces of any size, and no more is kept than may be.
#![no_main]

use containerpilot_actors::http::{Problem, Progress, Request, RequestReader};
use containerpilot_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

const MOST_HEAD: usize = 2048;
const MOST_BODY: usize = 256;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Result<Request, Problem>> {
    let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
    for piece in pieces {
        match reader.take(piece) {
            Ok(Progress::Partial | Progress::AwaitsContinue) => {}
            Ok(Progress::Complete(request)) => return Some(Ok(request)),
            Err(problem) => return Some(Err(problem)),
        }
        assert!(reader.held() <= 2 * (MOST_HEAD + MOST_BODY + 4096), "{}", reader.held());
    }
    None
}

fuzz_target!(|data: &[u8]| {
    let Some((whole, pieces)) = pieces(data) else { return };
    let (at_once, by_pieces) = (read(std::iter::once(whole)), read(pieces));
    // What is wrong may be noticed with the end of a line only, so that errors may come later, or never.
    for complete in [&at_once, &by_pieces] {
        if let Some(Ok(request)) = complete {
            assert_eq!(by_pieces, at_once);
            assert!(request.body.len() <= MOST_BODY);
            drop((request.parameter("replay"), request.has("follow"), request.wants_json()));
        }
    }
});
