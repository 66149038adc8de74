//! The last events, for whoever wants to see what happens: as server-sent events, which browsers and `curl` understand.
//!
//! A viewer who does not read is let go once its queue is full, so viewers cost nobody anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{self, Poll};

use actix::prelude::*;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::event::Event;
use crate::guard::PanicGuard;
use crate::http::Source;
use crate::messages::{Follow, Followed};
use crate::output::stamp_nanos;

/// How many events are kept.
const KEPT: usize = 1000;
/// How many may wait for a viewer besides those.
const AHEAD: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Journal {
    /// Each with its number and time; made ready to be sent when somebody wants to see it.
    kept: VecDeque<(u64, String, Event)>,
    last: u64,
    viewers: Vec<mpsc::Sender<Arc<[u8]>>>,
    _guard: Option<PanicGuard>,
}

#[derive(Serialize)]
struct EventBody<'a> {
    id: u64,
    time: &'a str,
    code: String,
    source: String,
}

impl Journal {
    /// Nothing has happened yet.
    pub fn new(guard: Option<PanicGuard>) -> Self {
        Self { _guard: guard, ..Self::default() }
    }

    fn record(&mut self, event: Event, time: String) {
        self.last += 1;
        if !self.viewers.is_empty() {
            let frame = frame(self.last, &time, &event);
            self.viewers.retain(|viewer| viewer.try_send(frame.clone()).is_ok());
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((self.last, time, event));
    }

    fn follow(&mut self, replay: usize, after: u64) -> mpsc::Receiver<Arc<[u8]>> {
        // Those that have gone are noticed when something happens, which may be long.
        self.viewers.retain(|viewer| !viewer.is_closed());
        let (viewer, frames) = mpsc::channel(KEPT + AHEAD);
        let first = self.kept.len().saturating_sub(replay);
        for (id, time, event) in self.kept.iter().skip(first) {
            if *id > after && viewer.try_send(frame(*id, time, event)).is_err() {
                break;
            }
        }
        self.viewers.push(viewer);
        frames
    }
}

impl Source for Followed {
    fn poll_append(&mut self, cx: &mut task::Context<'_>, piece: &mut Vec<u8>) -> Poll<bool> {
        self.0.poll_recv(cx).map(|frame| frame.inspect(|frame| piece.extend_from_slice(frame)).is_some())
    }
}

fn frame(id: u64, time: &str, event: &Event) -> Arc<[u8]> {
    let body = EventBody { id, time, code: event.code.to_string(), source: event.source.to_string() };
    let json = serde_json::to_string(&body).expect("plain structs of text and numbers are always JSON");
    format!("id: {id}\ndata: {json}\n\n").into_bytes().into()
}

impl Actor for Journal {
    type Context = Context<Self>;
}

impl Handler<Event> for Journal {
    type Result = ();

    fn handle(&mut self, event: Event, _ctx: &mut Self::Context) {
        self.record(event, stamp_nanos());
    }
}

impl Handler<Follow> for Journal {
    type Result = MessageResult<Follow>;

    fn handle(&mut self, follow: Follow, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(Followed(self.follow(follow.replay, follow.after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(frames: &mut mpsc::Receiver<Arc<[u8]>>) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Ok(frame) = frames.try_recv() {
            let text = String::from_utf8(frame.to_vec()).unwrap();
            ids.push(text.lines().next().unwrap().strip_prefix("id: ").unwrap().parse().unwrap());
        }
        ids
    }

    #[test]
    fn the_last_thousand_are_kept_and_replayed_on_request() {
        let mut journal = Journal::default();
        for _ in 0..1500 {
            journal.record(Event::STARTUP, "now".into());
        }
        assert!(ids(&mut journal.follow(0, 0)).is_empty());
        assert_eq!(ids(&mut journal.follow(2, 0)), [1499, 1500]);
        assert_eq!(ids(&mut journal.follow(usize::MAX, 1498)), [1499, 1500]);
        assert_eq!(ids(&mut journal.follow(usize::MAX, 0)), (501..=1500).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_is_a_line_of_json() {
        let mut journal = Journal::default();
        let mut frames = journal.follow(0, 0);
        journal.record(Event::STARTUP, "now".into());
        let text = String::from_utf8(frames.try_recv().unwrap().to_vec()).unwrap();
        let line = r#"data: {"id":1,"time":"now","code":"Startup","source":"global"}"#;
        assert_eq!(text, format!("id: 1\n{line}\n\n"));
    }

    #[test]
    fn a_viewer_who_does_not_read_is_let_go() {
        let mut journal = Journal::default();
        let mut slow = journal.follow(0, 0);
        for _ in 0..KEPT + AHEAD + 10 {
            journal.record(Event::STARTUP, "now".into());
        }
        assert!(journal.viewers.is_empty());
        assert_eq!(ids(&mut slow).len(), KEPT + AHEAD);
        drop(journal.follow(0, 0));
        let kept = journal.follow(0, 0);
        assert_eq!(journal.viewers.len(), 1);
        drop(kept);
    }
}
