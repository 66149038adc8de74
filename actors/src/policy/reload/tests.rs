//! What differs, who stops, and who starts when.

use super::*;
use crate::spec::{StartRule, WatchSpec};
use crate::testing::{config, job, secs, shell};

fn name(text: &str) -> JobName {
    JobName::new(text)
}

fn at(mut job: JobSpec, code: EventCode, source: &str) -> JobSpec {
    job.start = StartRule::Once(Event::job(code, &name(source)));
    job
}

fn stops(step: &Step) -> Vec<(&str, bool)> {
    step.stop.iter().map(|(name, may_start)| (name.as_str(), *may_start)).collect()
}

fn starts(step: &Step) -> Vec<&str> {
    step.start.iter().map(|job| job.name.as_str()).collect()
}

fn discards(step: &Step) -> Vec<&str> {
    step.discard.iter().map(JobName::as_str).collect()
}

#[test]
fn a_diff_names_what_differs_and_ignores_order() {
    let watch = |name: &str, seconds| WatchSpec { interval: secs(seconds), ..crate::testing::watch(name) };
    let mut old = config(vec![job("a"), job("b"), job("gone")]);
    old.watches = vec![watch("w", 1), watch("x", 1)];
    let mut new = config(vec![job("new"), shell("b", "false"), job("a")]);
    new.watches = vec![watch("x", 2), watch("w", 1)];
    new.stop_timeout = secs(9);
    let diff = Diff::between(&old, &new);
    assert_eq!(diff.changed, ["b", "watch.x"]);
    assert_eq!(diff.added, ["new"]);
    assert_eq!(diff.removed, ["gone"]);
    assert_eq!(diff.unchanged, ["a", "watch.w"]);
    assert_eq!(diff.settings, ["stopTimeout"]);
}

#[test]
fn a_job_may_be_restarted_or_kept_whatever_its_definition() {
    let always = JobSpec { on_reload: OnReload::Restart, ..job("always") };
    let never = |script| JobSpec { on_reload: OnReload::Keep, ..shell("never", script) };
    let (old, new) = (config(vec![always.clone(), never("a")]), config(vec![always, never("b")]));
    let mut policy = ReloadPolicy::default();
    let step = policy.change(&old, &new, |_| false);
    assert_eq!((stops(&step), starts(&step)), (vec![("always", false)], vec![]));
    assert_eq!(starts(&policy.stopped(&name("always"))), ["always"]);
}

#[test]
fn a_diff_tells_what_becomes_of_a_job_whatever_its_definition() {
    let of = |name, on_reload| JobSpec { on_reload, ..job(name) };
    let old = [of("again", OnReload::Restart), of("killed", OnReload::Replace), of("left", OnReload::Keep)];
    let init = JobSpec { init: true, ..job("init") };
    let new = [old[0].clone(), old[1].clone(), JobSpec { on_reload: OnReload::Keep, ..shell("left", "false") }];
    let diff = Diff::between(
        &config([old.to_vec(), vec![init.clone()]].concat()),
        &config([new.to_vec(), vec![JobSpec { timeout: Some(secs(1)), ..init }]].concat()),
    );
    assert_eq!(
        (diff.restarted, diff.unchanged),
        (vec!["again".into(), "killed".into()], vec!["left".into(), "init".into()])
    );
    assert_eq!(diff.changed, [""; 0]);
}

#[test]
fn a_job_may_be_killed_for_its_successor() {
    let task = |name| JobSpec { on_reload: OnReload::Replace, ..job(name) };
    let (old, new) = (config(vec![task("same"), task("gone")]), config(vec![task("same"), task("new")]));
    let mut policy = ReloadPolicy::default();
    let step = policy.change(&old, &new, |_| false);
    assert_eq!((stops(&step), step.kill.as_slice()), (vec![], [name("same"), name("gone")].as_slice()));
    assert_eq!(starts(&step), Vec::<&str>::new(), "it may be the removed one under another name");
    assert_eq!(starts(&policy.stopped(&name("gone"))), ["new"]);
    assert_eq!(starts(&policy.stopped(&name("same"))), ["same"]);
}

#[test]
fn what_runs_before_everything_else_neither_stops_nor_starts() {
    let init = |name, script| JobSpec { init: true, ..shell(name, script) };
    let (old, new) = (config(vec![init("pre", "a")]), config(vec![init("pre", "b"), init("more", "c")]));
    assert_eq!(ReloadPolicy::default().change(&old, &new, |_| false), Step::default());
}

#[test]
fn what_is_the_same_is_left_alone() {
    let spec = config(vec![job("a"), job("b")]);
    let mut turned = spec.clone();
    turned.jobs.reverse();
    assert_eq!(ReloadPolicy::default().change(&spec, &turned, |_| false), Step::default());
}

#[test]
fn a_changed_job_starts_when_its_old_self_has_stopped() {
    let mut policy = ReloadPolicy::default();
    let (old, new) = (config(vec![job("a")]), config(vec![shell("a", "false"), job("b")]));
    let step = policy.change(&old, &new, |_| false);
    assert_eq!((stops(&step), starts(&step)), (vec![("a", false)], vec!["b"]));
    assert!(policy.is_leaving(&name("a")) && !policy.is_leaving(&name("b")));
    let step = policy.stopped(&name("a"));
    assert_eq!((discards(&step), starts(&step)), (vec!["a"], vec!["a"]));
    assert_eq!(step.start[0], new.jobs[0]);
    assert_eq!(policy.stopped(&name("a")), Step::default());
}

#[test]
fn a_completed_job_starts_at_once_if_it_has_changed_and_never_if_not() {
    let (old, new) = (config(vec![job("a"), job("b")]), config(vec![shell("a", "false"), job("b")]));
    let step = ReloadPolicy::default().change(&old, &new, |_| true);
    assert_eq!((stops(&step), discards(&step), starts(&step)), (vec![], vec!["a"], vec!["a"]));
}

#[test]
fn a_removed_job_stops_and_is_forgotten() {
    let mut policy = ReloadPolicy::default();
    let step = policy.change(&config(vec![job("a"), job("b")]), &config(vec![job("b")]), |_| false);
    assert_eq!((stops(&step), starts(&step)), (vec![("a", false)], vec![]));
    let step = policy.stopped(&name("a"));
    assert_eq!((discards(&step), starts(&step)), (vec!["a"], vec![]));
}

#[test]
fn a_new_job_awaits_the_old_self_of_its_source_and_no_other_changed_job() {
    let mut policy = ReloadPolicy::default();
    let old = config(vec![job("setup"), job("slow")]);
    let new = config(vec![
        at(job("app"), EventCode::ExitSuccess, "setup"),
        shell("setup", "2"),
        shell("slow", "2"),
        job("free"),
        at(job("late"), EventCode::ExitSuccess, "app"),
    ]);
    let step = policy.change(&old, &new, |_| false);
    assert_eq!((stops(&step), starts(&step)), (vec![("setup", false), ("slow", false)], vec!["free", "late"]));
    assert_eq!(starts(&policy.stopped(&name("setup"))), ["app", "setup"]);
    assert_eq!(starts(&policy.stopped(&name("slow"))), ["slow"]);
}

#[test]
fn whatever_a_reload_starts_awaits_the_jobs_that_it_removes() {
    let mut policy = ReloadPolicy::default();
    let step = policy.change(
        &config(vec![job("old-name"), job("b")]),
        &config(vec![job("new-name"), shell("b", "2")]),
        |_| false,
    );
    assert_eq!((stops(&step), starts(&step)), (vec![("old-name", false), ("b", false)], vec![]));
    assert_eq!(starts(&policy.stopped(&name("b"))), Vec::<&str>::new());
    assert_eq!(starts(&policy.stopped(&name("old-name"))), ["new-name", "b"]);
}

#[test]
fn a_job_stopped_by_hand_stays_so_until_a_reload_changes_it() {
    let mut policy = ReloadPolicy::default();
    let same = config(vec![job("a"), job("b")]);
    policy.replace(&job("a"), false);
    assert_eq!(policy.change(&same, &same, |_| false), Step::default(), "its stop is under way");
    assert_eq!(starts(&policy.stopped(&name("a"))), Vec::<&str>::new());
    let other = config(vec![shell("a", "2"), job("b")]);
    let away = |of: &JobName| *of == name("a");
    assert_eq!(policy.change(&same, &same, away), Step::default());
    let step = policy.change(&same, &other, away);
    assert_eq!((discards(&step), starts(&step)), (vec!["a"], vec!["a"]));
    // Taken out while its stop is under way, and put back.
    policy.replace(&other.jobs[0], false);
    assert_eq!(policy.change(&other, &config(vec![job("b")]), |_| false), Step::default());
    assert_eq!(policy.change(&config(vec![job("b")]), &other, |_| false), Step::default());
    assert_eq!(starts(&policy.stopped(&name("a"))), ["a"]);
}

#[test]
fn orders_concern_jobs_that_are_still_to_start() {
    let mut policy = ReloadPolicy::default();
    let (old, new) = (config(vec![job("gone")]), config(vec![job("a"), job("b")]));
    policy.change(&old, &new, |_| false);
    assert_eq!(starts(&policy.start_now(&job("a"))), ["a"]);
    assert!(policy.hold(&name("b")) && !policy.hold(&name("b")));
    assert_eq!(starts(&policy.stopped(&name("gone"))), Vec::<&str>::new());
}

#[test]
fn a_long_chain_is_ordered_in_one_pass() {
    let jobs = (0..2000).map(|at_| match at_ {
        0 => job("j0"),
        _ => at(job(&format!("j{at_}")), EventCode::Stopping, &format!("j{}", at_ - 1)),
    });
    let step = ReloadPolicy::default().change(&config(jobs.collect()), &config(vec![]), |_| false);
    assert_eq!(step.stop.iter().filter(|(_, may_start)| *may_start).count(), 1999);
}

#[test]
fn a_second_change_takes_the_place_of_the_first() {
    let mut policy = ReloadPolicy::default();
    let first = config(vec![job("a")]);
    let second = config(vec![shell("a", "second"), at(job("b"), EventCode::Stopped, "a")]);
    let third = config(vec![shell("a", "third")]);
    policy.change(&first, &second, |_| false);
    let step = policy.change(&second, &third, |_| false);
    assert_eq!(step, Step::default(), "b has not started yet");
    let step = policy.stopped(&name("a"));
    assert_eq!(step.start, third.jobs);
    // And back to the first while the old one still stops.
    policy.change(&third, &second, |_| false);
    policy.change(&second, &third, |_| false);
    assert_eq!(policy.stopped(&name("a")).start, third.jobs);
}

#[test]
fn a_job_that_has_not_started_yet_may_be_taken_back() {
    let mut policy = ReloadPolicy::default();
    let old = config(vec![job("setup")]);
    let new = config(vec![at(job("app"), EventCode::ExitSuccess, "setup"), shell("setup", "2")]);
    policy.change(&old, &new, |_| false);
    let step = policy.change(&new, &config(vec![]), |_| false);
    assert_eq!(step, Step::default());
    assert_eq!(starts(&policy.stopped(&name("setup"))), Vec::<&str>::new());
}

#[test]
fn jobs_at_the_stop_of_others_that_leave_do_their_work() {
    let old = config(vec![
        job("app"),
        at(job("before"), EventCode::Stopping, "app"),
        at(job("after"), EventCode::Stopped, "before"),
        at(job("x"), EventCode::Stopped, "y"),
        at(job("y"), EventCode::Stopped, "x"),
    ]);
    let step = ReloadPolicy::default().change(&old, &config(vec![job("other")]), |_| false);
    assert_eq!(stops(&step), [("before", true), ("after", true), ("app", false), ("x", false), ("y", false)]);
}

#[test]
fn a_stop_by_hand_is_one_at_a_time() {
    let mut policy = ReloadPolicy::default();
    assert_eq!(policy.replace(&job("a"), true).map(|step| step.stop.len()), Some(1));
    assert_eq!(policy.replace(&job("a"), true), None);
    assert_eq!(starts(&policy.stopped(&name("a"))), ["a"]);
    assert!(policy.replace(&job("a"), false).is_some());
    assert_eq!(starts(&policy.stopped(&name("a"))), Vec::<&str>::new());
}

#[test]
fn random_changes_leave_exactly_the_last_config() {
    for seed in 1..300u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut policy = ReloadPolicy::default();
        let mut live: BTreeMap<JobName, JobSpec> = BTreeMap::new();
        let mut stopping: Vec<JobName> = Vec::new();
        let mut spec = config(vec![]);
        let apply = |step: Step, live: &mut BTreeMap<JobName, JobSpec>, stopping: &mut Vec<JobName>| {
            stopping.extend(step.stop.into_iter().map(|(name, _)| name));
            for gone in step.discard {
                live.remove(&gone);
            }
            for job in step.start {
                let twice = live.insert(job.name.clone(), job);
                assert_eq!(twice, None, "seed {seed}: two at once");
            }
        };
        for _ in 0..40 {
            if random(2) == 0 && !stopping.is_empty() {
                let at = usize::try_from(random(stopping.len() as u64)).unwrap();
                let step = policy.stopped(&stopping.remove(at));
                apply(step, &mut live, &mut stopping);
            } else {
                let mut jobs = Vec::new();
                for index in 0..5 {
                    if random(3) > 0 {
                        let mut job = shell(&format!("j{index}"), &random(2).to_string());
                        if random(2) == 0 {
                            job = at(job, EventCode::ExitSuccess, &format!("j{}", random(5)));
                        }
                        jobs.push(job);
                    }
                }
                let new = config(jobs);
                let step = policy.change(&spec, &new, |_| false);
                apply(step, &mut live, &mut stopping);
                spec = new;
            }
        }
        while let Some(name) = stopping.pop() {
            let step = policy.stopped(&name);
            apply(step, &mut live, &mut stopping);
        }
        let mut wanted = spec.jobs.clone();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(live.into_values().collect::<Vec<_>>(), wanted, "seed {seed}");
    }
}

/// Jobs of one name, called as `name_twins` of the config calls them.
fn twins(scripts: &[&str]) -> Vec<JobSpec> {
    let twin = |(at, script): (usize, &&str)| JobSpec {
        name: if at == 0 { name("web") } else { name(&format!("web#{}", at + 1)) },
        twin_of: (scripts.len() > 1).then(|| name("web")),
        ..shell("web", script)
    };
    scripts.iter().enumerate().map(twin).collect()
}

#[test]
fn jobs_of_one_name_are_paired_by_definition_and_then_in_order() {
    let paired = |old: &[&str], new: &[&str]| {
        let mut spec = config(twins(new));
        pair_twins(&config(twins(old)), &mut spec);
        spec.jobs.iter().map(|job| job.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paired(&["a", "b"], &["a", "b"]), ["web", "web#2"]);
    assert_eq!(paired(&["a", "b"], &["b", "a"]), ["web#2", "web"]);
    assert_eq!(paired(&["a", "b"], &["b"]), ["web#2"], "the one that stays goes on");
    assert_eq!(paired(&["a", "b"], &["x", "b", "y"]), ["web", "web#2", "web#3"]);
    assert_eq!(paired(&["b"], &["a", "b"]), ["web#2", "web"]);
    assert_eq!(paired(&["a", "b"], &["x", "y"]), ["web", "web#2"]);
}
