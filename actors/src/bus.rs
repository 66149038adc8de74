//! The event bus: one sequence of all events, each delivered to exactly those who asked for it.
//!
//! An event that nobody reacts to visits no job. Emitting never blocks: subscribers' mailboxes take it at once.

use std::collections::HashMap;

use actix::prelude::*;
use slog::{Logger, debug};

use crate::event::{Event, EventCode, Owner};
use crate::guard::PanicGuard;
use crate::messages::{BusCommand, EventCounts, JobAnnounced};

/// How many different `Error` texts are counted: they come from outside, so somewhere is an end.
const MOST_ERRORS: usize = 1000;

/// See the module.
#[derive(Debug)]
pub struct EventBus {
    log: Logger,
    subscribers: HashMap<Event, Vec<(Owner, Recipient<Event>)>>,
    /// The events of each subscriber, so that it is found among thousands.
    events: HashMap<Owner, Vec<Event>>,
    taps: Vec<(&'static [EventCode], Recipient<Event>)>,
    overseer: Option<Recipient<JobAnnounced>>,
    counts: HashMap<Event, u64>,
    errors: usize,
    _guard: Option<PanicGuard>,
}

impl EventBus {
    /// A bus without subscribers.
    pub fn new(log: Logger, guard: Option<PanicGuard>) -> Self {
        let (subscribers, events, counts) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { log, subscribers, events, taps: Vec::new(), overseer: None, counts, errors: 0, _guard: guard }
    }

    fn publish(&mut self, event: Event) {
        // 3.8: these words, which people grep for
        debug!(self.log, "event: {}", event);
        for (codes, to) in &self.taps {
            if codes.is_empty() || codes.contains(&event.code) {
                to.do_send(event.clone());
            }
        }
        if let Some(subscribers) = self.subscribers.get(&event) {
            for (_, to) in subscribers {
                to.do_send(event.clone());
            }
        }
        self.count(event);
    }

    fn unsubscribe(&mut self, gone: &Owner) {
        for event in self.events.remove(gone).into_iter().flatten() {
            let Some(subscribers) = self.subscribers.get_mut(&event) else { continue };
            subscribers.retain(|(subscriber, _)| subscriber != gone);
            if subscribers.is_empty() {
                self.subscribers.remove(&event);
            }
        }
    }

    fn count(&mut self, event: Event) {
        if let Some(count) = self.counts.get_mut(&event) {
            *count += 1;
            return;
        }
        if event.code == EventCode::Error {
            if self.errors >= MOST_ERRORS {
                return;
            }
            self.errors += 1;
        }
        self.counts.insert(event, 1);
    }
}

impl Actor for EventBus {
    type Context = Context<Self>;
}

impl Handler<BusCommand> for EventBus {
    type Result = ();

    fn handle(&mut self, msg: BusCommand, _ctx: &mut Self::Context) {
        match msg {
            BusCommand::Publish(event) => self.publish(event),
            BusCommand::Announce(announced) => {
                if let Some(overseer) =
                    self.overseer.as_ref().filter(|_| EventCode::OF_A_STOP.contains(&announced.event.code))
                {
                    overseer.do_send(announced.clone());
                }
                self.publish(announced.event);
            }
            BusCommand::Oversee(overseer) => self.overseer = Some(overseer),
            BusCommand::Tap { codes, to } => {
                self.taps.retain(|(_, to)| to.connected());
                self.taps.push((codes, to));
            }
            BusCommand::Subscribe { subscriber, events, to } => {
                for event in &events {
                    self.subscribers.entry(event.clone()).or_default().push((subscriber.clone(), to.clone()));
                }
                self.events.entry(subscriber).or_default().extend(events);
            }
            BusCommand::Unsubscribe(gone) => self.unsubscribe(&gone),
        }
    }
}

impl Handler<EventCounts> for EventBus {
    type Result = Vec<(Event, u64)>;

    fn handle(&mut self, _msg: EventCounts, _ctx: &mut Self::Context) -> Self::Result {
        self.counts.iter().map(|(event, count)| (event.clone(), *count)).collect()
    }
}
