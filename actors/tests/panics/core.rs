//! What everything depends on.

use containerpilot_actors::messages::ActorId;

use crate::scene::{Scene, app};

async fn ends_with_everything(actor: &'static str) {
    let mut scene = Scene::new(&actor.replace(' ', "-"), vec![app("app"), app("web")]).await;
    scene.lines("app", 1).await;
    scene.lines("web", 1).await;
    assert_eq!(scene.alive().len(), 4);
    scene.panic(ActorId::Core(actor));
    assert_eq!(scene.outcome().await, 70);
    assert_eq!(scene.alive(), Vec::<i32>::new());
}

#[actix::test]
async fn without_the_event_bus_all_ends_with_status_70_and_no_child_outlives_us() {
    ends_with_everything("event bus").await;
}

#[actix::test]
async fn without_the_reaper_all_ends_with_status_70_and_no_child_outlives_us() {
    ends_with_everything("reaper").await;
}

#[actix::test]
async fn without_the_signal_handler_all_ends_with_status_70_and_no_child_outlives_us() {
    ends_with_everything("signal handler").await;
}

#[actix::test]
async fn without_the_supervisor_all_ends_with_status_70_and_no_child_outlives_us() {
    ends_with_everything("supervisor").await;
}
