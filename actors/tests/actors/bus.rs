//! The event bus delivers each event to exactly those who asked, in one order.

use actix::prelude::*;
use containerpilot_actors::bus::EventBus;
use containerpilot_actors::event::{Event, EventCode, JobName, Owner, Source};
use containerpilot_actors::messages::{BusCommand, EventCounts};
use containerpilot_actors::testing::{probe, secs};
use slog::{Discard, Logger, o};

fn bus() -> Addr<EventBus> {
    EventBus::new(Logger::root(Discard, o!()), None).start()
}

fn exit(name: &str) -> Event {
    Event::job(EventCode::ExitSuccess, &JobName::new(name))
}

fn owner(name: &str) -> Owner {
    Owner::Job(JobName::new(name))
}

#[actix::test]
async fn an_event_reaches_its_subscribers_and_nobody_else() {
    let bus = bus();
    let ((to_a, mut a), (to_b, mut b)) = (probe(), probe());
    bus.do_send(BusCommand::Subscribe { subscriber: owner("a"), events: vec![exit("x"), exit("y")], to: to_a });
    bus.do_send(BusCommand::Subscribe { subscriber: owner("b"), events: vec![exit("y")], to: to_b });
    for name in ["x", "y", "z", "x"] {
        bus.do_send(BusCommand::Publish(exit(name)));
    }
    for name in ["x", "y", "x"] {
        assert_eq!(a.next(secs(5)).await, exit(name));
    }
    assert_eq!(b.next(secs(5)).await, exit("y"));
    assert_eq!((a.take(), b.take()), (vec![], vec![]));
}

#[actix::test]
async fn who_has_unsubscribed_hears_nothing_more() {
    let bus = bus();
    let ((to_a, mut a), (tap, mut all)) = (probe(), probe());
    bus.do_send(BusCommand::Tap { codes: &[], to: tap });
    bus.do_send(BusCommand::Subscribe { subscriber: owner("a"), events: vec![exit("x")], to: to_a });
    bus.do_send(BusCommand::Unsubscribe(owner("a")));
    bus.do_send(BusCommand::Publish(exit("x")));
    assert_eq!(all.next(secs(5)).await, exit("x"), "a tap hears everything");
    assert_eq!(a.take(), []);
}

#[actix::test]
async fn events_are_counted_and_the_texts_of_errors_do_not_fill_the_memory() {
    let bus = bus();
    for _ in 0..3 {
        bus.do_send(BusCommand::Publish(exit("x")));
    }
    for number in 0..3000 {
        let reason = Source::Reason(format!("x: {number}").into());
        bus.do_send(BusCommand::Publish(Event::new(EventCode::Error, reason)));
    }
    let counts = bus.send(EventCounts).await.unwrap();
    assert!(counts.contains(&(exit("x"), 3)));
    assert_eq!(counts.len(), 1001);
}
