//! Jobs and checks.

use containerpilot_actors::event::{Event, EventCode, JobName, SignalSource};
use containerpilot_actors::messages::{ActorId, JobStatus, Order};
use containerpilot_actors::policy::job::{Health, State};
use containerpilot_actors::spec::{Budget, HealthSpec, JobSpec, StartRule};
use containerpilot_actors::testing::{check, millis, secs, shell};

use crate::scene::{Scene, app, at, job_id};

fn of(code: EventCode, job: &str) -> Event {
    Event::job(code, &JobName::new(job))
}

#[actix::test]
async fn a_job_begins_anew_once_its_old_group_is_gone_and_no_other_job_notices() {
    let mut scene = Scene::new("rest", vec![app("app"), app("web")]).await;
    scene.lines("app", 1).await;
    scene.lines("web", 1).await;
    scene.panic(job_id("app"));
    scene.lines("app", 2).await;
    scene.settle().await;
    assert_eq!(scene.read("web"), "run\n");
    assert_eq!(scene.alive().len(), 4);
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_panics_again_and_again_is_back_each_time() {
    let mut scene = Scene::new("again", vec![app("app")]).await;
    for runs in 1..4 {
        scene.lines("app", runs).await;
        scene.panic(job_id("app"));
    }
    scene.lines("app", 4).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_waits_for_its_start_after_a_panic_can_be_stopped_and_started_by_hand() {
    let mut scene = Scene::new("pause", vec![app("app"), app("web")]).await;
    scene.lines("app", 1).await;
    while scene.status("app").await.is_some() {
        scene.panic(job_id("app"));
        scene.tick().await;
    }
    let stopped = scene.order("app", Order::Stop);
    assert_eq!(scene.work(stopped).await, Ok(()));
    let runs = scene.read("app").lines().count();
    scene.settle().await;
    assert!(scene.status("app").await.is_none());
    let started = scene.order("app", Order::Start);
    assert_eq!(scene.work(started).await, Ok(()));
    scene.lines("app", runs + 1).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_stop_ends_while_a_job_waits_for_its_start_after_a_panic() {
    let mut scene = Scene::new("pause-end", vec![app("app"), app("web")]).await;
    scene.lines("app", 1).await;
    for _ in 0..4 {
        scene.until_status("app", Option::is_some).await;
        scene.panic(job_id("app"));
        scene.settle().await;
    }
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_was_stopped_by_hand_stays_stopped() {
    let mut scene = Scene::new("by-hand", vec![app("app"), app("web")]).await;
    scene.lines("app", 1).await;
    let stopped = scene.order("app", Order::Stop);
    scene.panic(job_id("app"));
    assert_eq!(scene.work(stopped).await, Ok(()));
    scene.panic(job_id("app"));
    scene.settle().await;
    assert!(scene.status("app").await.is_none());
    assert_eq!(scene.read("app"), "run\n");
    scene.ends_well().await;
}

#[actix::test]
async fn a_restart_by_hand_is_carried_out_though_its_job_panics() {
    let mut scene = Scene::new("restart", vec![app("app")]).await;
    scene.lines("app", 1).await;
    let restarted = scene.order("app", Order::Restart);
    scene.panic(job_id("app"));
    assert_eq!(scene.work(restarted).await, Ok(()));
    scene.lines("app", 2).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_an_order_or_a_passing_event_has_started_runs_again() {
    let hup = Event::signal(SignalSource::Hup);
    let mut scene = Scene::new("ordered", vec![at(app("app"), hup)]).await;
    let started = scene.order("app", Order::Start);
    assert_eq!(scene.work(started).await, Ok(()));
    scene.lines("app", 1).await;
    scene.panic(job_id("app"));
    scene.lines("app", 2).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_waits_for_a_standing_fact_gets_it_and_a_complete_job_does_not_run_again() {
    let setup = shell("setup", "echo run >> $F/setup");
    let jobs = vec![setup, at(app("app"), of(EventCode::ExitSuccess, "setup"))];
    let mut scene = Scene::new("fact", jobs).await;
    scene.lines("app", 1).await;
    scene.panic(job_id("setup"));
    scene.until_state("setup", State::Stopped).await;
    scene.panic(job_id("app"));
    scene.lines("app", 2).await;
    scene.settle().await;
    assert_eq!(scene.read("setup"), "run\n");
    assert_eq!(scene.until_state("setup", State::Stopped).await.last_end.map(|end| end.code()), Some(0));
    scene.ends_well().await;
}

#[actix::test]
async fn a_waiting_job_still_waits_and_its_event_still_reaches_it() {
    let setup = shell("setup", "until [ -e $F/go ]; do sleep 0.02; done");
    let jobs = vec![setup, at(app("app"), of(EventCode::ExitSuccess, "setup"))];
    let mut scene = Scene::new("waiting", jobs).await;
    scene.until_state("app", State::Waiting).await;
    scene.panic(job_id("app"));
    scene.settle().await;
    scene.until_state("app", State::Waiting).await;
    std::fs::write(scene.folder.join("go"), "").unwrap();
    scene.lines("app", 1).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_blocked_job_is_blocked_again_and_an_order_to_its_source_frees_it() {
    let setup = shell("setup", "echo run >> $F/setup; test -e $F/well");
    let after_setup = at(app("app"), of(EventCode::ExitSuccess, "setup"));
    let after_app = at(shell("next", "true"), of(EventCode::ExitSuccess, "app"));
    let mut scene = Scene::new("blocked", vec![setup, after_setup, after_app, app("web")]).await;
    let why = scene.until_state("app", State::Blocked).await.why;
    scene.until_state("next", State::Blocked).await;
    for name in ["app", "next", "setup"] {
        scene.panic(job_id(name));
        scene.settle().await;
    }
    assert_eq!(scene.until_state("app", State::Blocked).await.why, why);
    scene.until_state("next", State::Blocked).await;
    assert_eq!(scene.read("setup"), "run\n");
    std::fs::write(scene.folder.join("well"), "").unwrap();
    let started = scene.order("setup", Order::Start);
    assert_eq!(scene.work(started).await, Ok(()));
    scene.lines("app", 1).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_job_that_gave_up_stays_so() {
    let waits = JobSpec { wait_timeout: Some(millis(50)), ..at(app("app"), Event::signal(SignalSource::Hup)) };
    let mut scene = Scene::new("gave-up", vec![waits, app("web")]).await;
    let why = scene.until_state("app", State::GaveUp).await.why;
    scene.panic(job_id("app"));
    scene.settle().await;
    assert_eq!(scene.until_state("app", State::GaveUp).await.why, why);
    scene.ends_well().await;
}

#[actix::test]
async fn an_interval_job_goes_on_with_its_interval() {
    let beats = JobSpec {
        start: StartRule::Interval(millis(100)),
        restarts: Budget::Unlimited,
        ..shell("beat", "echo x >> $F/beat")
    };
    let mut scene = Scene::new("interval", vec![beats, app("web")]).await;
    scene.lines("web", 1).await;
    scene.until_status("beat", |status| status.as_ref().is_some_and(|status| status.runs >= 1)).await;
    scene.panic(job_id("beat"));
    scene.until_status("beat", |status| status.as_ref().is_some_and(|status| status.runs >= 2)).await;
    scene.ends_well().await;
}

#[actix::test]
async fn a_reload_goes_its_way_though_jobs_panic_in_it() {
    let old = JobSpec { env: vec![("OLD".into(), Some("1".into()))].into_iter().collect(), ..app("web") };
    let mut scene = Scene::new("reload", vec![app("app"), old, app("gone")]).await;
    for name in ["app", "web", "gone"] {
        scene.lines(name, 1).await;
    }
    scene
        .reload(|spec| {
            spec.jobs.pop();
            spec.jobs[1].env = Default::default();
            spec.jobs.push(app("new"));
        })
        .await;
    for name in ["app", "web", "gone"] {
        scene.panic(job_id(name));
    }
    for (name, runs) in [("app", 2), ("web", 2), ("new", 1)] {
        scene.lines(name, runs).await;
    }
    scene.settle().await;
    let names: Vec<String> = scene.overview().await.jobs.iter().map(|job| job.name.to_string()).collect();
    assert_eq!(names, ["app", "web", "new"]);
    assert_eq!((scene.read("gone").lines().count(), scene.alive().len()), (1, 6));
    scene.ends_well().await;
}

#[actix::test]
async fn an_end_goes_its_way_though_jobs_panic_in_it() {
    let before = at(shell("before", "echo run >> $F/before"), of(EventCode::Stopping, "app"));
    let after = at(shell("after", "echo run >> $F/after"), of(EventCode::Stopped, "app"));
    let mut scene = Scene::new("end", vec![app("app"), before, after, app("web")]).await;
    scene.lines("app", 1).await;
    scene.lines("web", 1).await;
    scene.shut_down();
    for name in ["app", "web"] {
        scene.panic(job_id(name));
    }
    assert_eq!(scene.outcome().await, 0);
    assert_eq!((scene.read("before"), scene.read("after")), ("run\n".to_owned(), "run\n".to_owned()));
    assert_eq!(scene.alive(), Vec::<i32>::new());
}

#[actix::test]
async fn a_check_begins_anew_and_its_job_does_not_notice() {
    let health = check("echo run >> $F/checks; test ! -e $F/ill");
    let fast = HealthSpec { interval: millis(100), ..health };
    let mut scene = Scene::new("check", vec![JobSpec { health: Some(fast), ..app("app") }]).await;
    let healthy = |status: &Option<JobStatus>| status.as_ref().is_some_and(|status| status.health == Health::Healthy);
    let pid = scene.until_status("app", healthy).await.unwrap().pid;
    for _ in 0..3 {
        scene.panic(ActorId::Check(JobName::new("app")));
    }
    scene.settle().await;
    std::fs::write(scene.folder.join("ill"), "").unwrap();
    let ill = scene.until_status("app", |status| !healthy(status)).await.unwrap();
    assert_eq!((ill.health, ill.pid, ill.runs), (Health::Unhealthy, pid, 1));
    scene.ends_well().await;
}

#[actix::test]
async fn a_stop_that_waits_for_a_job_at_it_ends_though_that_panics() {
    let slow = shell("before", "echo run >> $F/before; until [ -e $F/go ]; do sleep 0.02; done");
    let before = JobSpec { start: StartRule::Each(of(EventCode::Stopping, "app")), ..slow };
    let stops = JobSpec { stop_timeout: Some(secs(60)), ..app("app") };
    let mut scene = Scene::new("at-stop", vec![stops, before, app("web")]).await;
    scene.lines("app", 1).await;
    let stopped = scene.order("app", Order::Stop);
    scene.lines("before", 1).await;
    scene.panic(job_id("before"));
    scene.lines("before", 2).await;
    std::fs::write(scene.folder.join("go"), "").unwrap();
    assert_eq!(scene.work(stopped).await, Ok(()));
    scene.ends_well().await;
}
