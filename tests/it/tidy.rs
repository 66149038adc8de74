//! The rules of the house that a search can check.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "no source in {folder}");
    found
}

/// Lines of code, comments left out, that hold any of these words.
fn lines_with(text: &str, words: &[&str]) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

#[test]
fn policies_know_of_specs_and_events_only() {
    let foreign = [
        "actix",
        "tokio",
        "nix::",
        "slog",
        "std::fs",
        "std::env",
        "std::net",
        "::now()",
        "random::",
        "crate::messages",
        "crate::sys",
    ];
    for (path, text) in sources("actors/src/policy") {
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert_eq!(lines_with(code, &foreign), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn system_calls_and_unsafe_are_in_sys_only() {
    for (path, text) in sources("actors/src").into_iter().chain(sources("src")) {
        if !path.ends_with("actors/src/sys.rs")
            && !path.parent().is_some_and(|folder| folder.ends_with("actors/src/sys"))
        {
            let found: Vec<String> = lines_with(&text, &["nix::", "libc::", "unsafe"])
                .into_iter()
                .filter(|line| !line.contains("std::os::unix::"))
                .filter(|line| !line.contains("::unix::"))
                .collect();
            assert_eq!(found, Vec::<String>::new(), "{}", path.display());
        }
    }
}

#[test]
fn the_runtime_knows_nothing_of_config_text() {
    for (path, text) in sources("actors/src") {
        assert_eq!(
            lines_with(&text, &["json5", "template", "clap", "argv"]),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
    for (path, text) in sources("src/config").into_iter().chain(sources("src/template")) {
        assert_eq!(lines_with(&text, &["actix", "tokio"]), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn nobody_waits_for_anybody_in_a_mailbox() {
    for (path, text) in sources("actors/src") {
        assert_eq!(
            lines_with(&text, &["ctx.wait(", "Rc<RefCell", "Arc<Mutex"]),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn work_that_may_block_goes_through_one_place() {
    for (path, text) in sources("actors/src") {
        if path.ends_with("actors/src/runtime/blocking.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        let found = lines_with(code, &["spawn_blocking", "tokio::fs", "thread::spawn", "thread::Builder"]);
        assert_eq!(found, Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    let folders = ["tests", "actors/tests", "actors/src", "src"];
    for (path, text) in folders.iter().flat_map(|folder| sources(folder)) {
        if path.ends_with("tests/it/tidy.rs") {
            continue;
        }
        assert_eq!(lines_with(&text, &["#[ignore", "thread::sleep"]), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn the_licence_is_the_mozilla_public_license() {
    let text = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    assert!(text("LICENSE").starts_with("Mozilla Public License Version 2.0\n"));
    assert!(text("Cargo.toml").contains("license = \"MPL-2.0\""));
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let is_number = |line: &str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let mut promises: Vec<String> = Vec::new();
    for line in text.lines() {
        if is_number(line) {
            promises.push(line.to_owned());
        } else if let Some(promise) = promises.last_mut() {
            promise.push_str(line);
        }
    }
    for (place, promise) in promises.iter().enumerate() {
        assert!(promise.starts_with(&format!("{}. ", place + 1)), "out of order: {promise}");
        let words: Vec<&str> = promise.split('`').skip(1).step_by(2).collect();
        let scripts = words.iter().filter(|word| word.starts_with("scripts/"));
        let named = words.iter().filter_map(|word| word.split_once("::"));
        let mut count = 0;
        for script in scripts {
            assert!(root().join(script).is_file(), "{script} is missing");
            count += 1;
        }
        for (file, name) in named {
            let source = std::fs::read_to_string(root().join(file)).unwrap_or_else(|cause| panic!("{file}: {cause}"));
            let mut lines = source.lines().map(str::trim);
            let is_attribute = |line: &str| matches!(line, "#[test]" | "#[actix::test]");
            let definition = format!("fn {name}()");
            let mut before = "";
            let found = lines.any(|line| {
                let is_it = line.trim_start_matches("async ").starts_with(&definition) && is_attribute(before);
                before = line;
                is_it
            });
            assert!(found, "{file} has no test {name}");
            count += 1;
        }
        assert!(count > 0, "no test: {promise}");
    }
    assert!(promises.len() >= 17, "{} promises", promises.len());
}

#[test]
fn every_test_that_keeps_a_promise_of_version_2_exists() {
    let text = std::fs::read_to_string(root().join("docs/v2.md")).unwrap();
    let rows =
        text.lines().skip_while(|line| !line.starts_with("## The promises")).filter(|line| line.starts_with('|'));
    let promises = rows.filter(|row| !row.starts_with("|---") && !row.starts_with("| promise"));
    let mut count = 0;
    for promise in promises {
        let named: Vec<(&str, &str)> = promise.split('`').filter_map(|word| word.split_once("::")).collect();
        assert!(!named.is_empty(), "no test: {promise}");
        for (file, name) in named {
            let (path, definition) = match file.ends_with(".py") {
                true => (root().join("../shared/conformance").join(file), format!("def {name}(")),
                false => (root().join(file), format!("#[test]\nfn {name}()")),
            };
            // The conformance suite is not everywhere.
            if path.parent().is_some_and(Path::exists) || !file.ends_with(".py") {
                let source = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{file}: {cause}"));
                let source = source
                    .replace("    #[test]\n    fn", "#[test]\nfn")
                    .replace("#[actix::test]\nasync fn", "#[test]\nfn");
                assert!(source.contains(&definition), "{file} has no test {name}");
            }
        }
        count += 1;
    }
    assert!(count > 50, "{count} promises");
}
